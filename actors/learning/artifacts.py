"""What a training leaves for people and for inference: texts and a picture, as content.

Owns the form of ``config.yaml`` and ``confusion_matrix.png``; files of figures are those of ``history_files``. Where and when they
are written is not its business.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image, ImageDraw, ImageFont

from actors.learning.plan import TrainingPlan

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_INK = (26, 32, 44)
_PAPER = (255, 255, 255)
_GRID = (226, 232, 240)
#: The colours of an empty and of a full cell; a cell's share of its row lies between them.
_PALE, _FULL = (247, 250, 252), (23, 86, 158)
_MARGIN = 24
_FONT_SIZE = 15


def config_yaml(plan: TrainingPlan, classes: Sequence[str], recipe: Mapping[str, Any] | None = None) -> str:
    """Describe a training in RFUAV's keys, such that inference can use the file as its configuration.

    ``weights`` names the best ones. ``class_names`` maps each name to its index; outputs beyond the class folders get
    a name here, since a configuration must name every output. ``recipe`` is the one key that RFUAV does not know: how
    pictures are made of recordings, where that is known.
    """
    spare = [f"unnamed_{index}" for index in range(len(classes), plan.num_classes)]
    content: dict[str, Any] = {
        "train": str(plan.train_path),
        "val": str(plan.val_path),
        "save_path": str(plan.output_dir),
        "model": plan.model,
        "weights": str(plan.output_dir / "best_model.pth"),
        "batch_size": plan.batch_size,
        "image_size": plan.image_size,
        "num_classes": plan.num_classes,
        "class_names": {name: index for index, name in enumerate([*classes, *spare])},
        "device": plan.device.partition(":")[0],
        "num_epochs": plan.num_epochs,
        "shuffle": plan.shuffle,
        "lr": plan.learning_rate,
        "optimizer": "Adam",
        "pretrained": plan.pretrained,
        "seed": plan.seed,
    }
    if recipe is not None:
        content["recipe"] = dict(recipe)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def confusion_png(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> bytes:
    """Draw a confusion matrix: rows are true classes, columns predicted ones, shades are shares of the row."""
    # Drawn with Pillow: importing matplotlib costs half a second and 50 MB in every training.
    labels = [_shortened(name) for name in names] + [f"#{index}" for index in range(len(names), len(confusion))]
    font = ImageFont.load_default(_FONT_SIZE)
    cell = _cell_side(confusion, font)
    label_width = int(max(font.getlength(label) for label in labels)) + 12
    left, top = _MARGIN + _FONT_SIZE + 12 + label_width, _MARGIN + _FONT_SIZE + 12 + label_width
    side = cell * len(labels)
    picture = Image.new("RGB", (left + side + _MARGIN, top + side + _MARGIN), _PAPER)
    _draw_cells(picture, confusion, (left, top, cell))
    _draw_labels(picture, labels, (left, top, cell))
    _draw_axis_titles(picture, (left, top, side))
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    return encoded.getvalue()


def _shortened(name: str) -> str:
    """Cut a long class name in its middle, where names differ least."""
    return name if len(name) <= 26 else f"{name[:14]}…{name[-11:]}"


def _cell_side(confusion: Sequence[Sequence[int]], font: "FreeTypeFont | ImageFont.ImageFont") -> int:
    """Choose a side that holds the longest count."""
    longest = max((count for row in confusion for count in row), default=0)
    return max(30, int(font.getlength(str(longest))) + 12)


def _draw_cells(picture: Image.Image, confusion: Sequence[Sequence[int]], place: tuple[int, int, int]) -> None:
    """Draw the shaded counts."""
    left, top, cell = place
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    for row, counts in enumerate(confusion):
        total = max(sum(counts), 1)
        for column, count in enumerate(counts):
            x, y, share = left + column * cell, top + row * cell, count / total
            draw.rectangle((x, y, x + cell, y + cell), fill=_shade(share), outline=_GRID)
            if count:
                ink = _PAPER if share > 0.5 else _INK
                draw.text((x + cell / 2, y + cell / 2), str(count), fill=ink, font=font, anchor="mm")


def _shade(share: float) -> tuple[int, int, int]:
    """Mix the colour of a cell that holds ``share`` of its row."""
    red, green, blue = (round(pale + (full - pale) * share) for pale, full in zip(_PALE, _FULL, strict=True))
    return red, green, blue


def _draw_labels(picture: Image.Image, labels: Sequence[str], place: tuple[int, int, int]) -> None:
    """Write the class names beside the rows and, turned, above the columns."""
    left, top, cell = place
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    for index, label in enumerate(labels):
        middle = index * cell + cell // 2
        draw.text((left - 8, top + middle), label, fill=_INK, font=font, anchor="rm")
        _draw_turned(picture, label, (left + middle, top - 8))


def _draw_turned(picture: Image.Image, text: str, bottom: tuple[int, int]) -> None:
    """Write a text upwards, its beginning at ``bottom``."""
    font = ImageFont.load_default(_FONT_SIZE)
    width, height = int(font.getlength(text)) + 2, _FONT_SIZE + 6
    strip = Image.new("L", (width, height), 0)
    ImageDraw.Draw(strip).text((0, height / 2), text, fill=255, font=font, anchor="lm")
    turned = strip.rotate(90, expand=True)
    picture.paste(_INK, (bottom[0] - height // 2, bottom[1] - width), turned)


def _draw_axis_titles(picture: Image.Image, place: tuple[int, int, int]) -> None:
    """Say which axis is which."""
    left, top, side = place
    font = ImageFont.load_default(_FONT_SIZE)
    draw = ImageDraw.Draw(picture)
    draw.text((left + side / 2, _MARGIN / 2), "predicted", fill=_INK, font=font, anchor="mt")
    _draw_turned(picture, "true", (_MARGIN, top + side // 2 + _MARGIN))
