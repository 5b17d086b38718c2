"""Reads the YAML file that tells what a classifier's weights mean.

Owns the reading of classification configurations as they exist in the field: those that trainers write (class names as
a mapping from name to index) and those that people write (class names as a list), with the slips that real files hold.
It must not import torch: a submission is checked by a process that never loads it.
"""

import difflib
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.catalog import SUPPORTED_MODELS, check_image_size
from actors.learning.errors import ConfigError, ModelCardError
from actors.learning.model_card import CARD_FILE, read_model_card, sha256_of
from actors.signals.errors import RecipeError
from actors.signals.recipe import check_recipe

#: No honest file comes near it: 37 classes take 1 kB.
MAX_CONFIG_BYTES = 1_000_000
#: A configuration is a mapping that holds a list or a mapping; anything deeper is a mistake or an attack.
MAX_NESTING = 8
#: Ten thousand classes; reading as many values as a megabyte holds would keep a process busy for half a minute.
MAX_VALUES = 20_000
#: Larger pictures would take gigabytes per batch.
MAX_IMAGE_SIZE = 4096
#: Unicode's categories of control characters and of half characters, which no file can hold as UTF-8.
_UNPRINTABLE = frozenset({"Cc", "Cs"})
_SQUARE = re.compile(r"[(\[]?\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?[)\]]?")
#: Five published files open their list with ``[S``, so that YAML glues a stray S to the first, quoted name.
_STRAY_PREFIX = re.compile(r"S\s+(['\"])(?P<name>.+)\1")


@dataclass(frozen=True, slots=True)
class ClassifyConfig:
    """What a weights file holds: an architecture and the meaning of its outputs.

    Invariant: ``class_names`` holds ``num_classes`` different names, and output ``i`` stands for ``class_names[i]``.
    """

    model: str
    num_classes: int
    class_names: tuple[str, ...]
    #: Side of the square that pictures are resized to, in pixels.
    image_size: int
    #: The weights that a training started from, as the file names them.
    weights: str | None
    #: What was put right or assumed while reading, as sentences for the user.
    warnings: tuple[str, ...] = ()
    #: How pictures are made of IQ, as ``Recipe.of`` takes it; None where the file does not tell.
    recipe: Mapping[str, Any] | None = None


class _Fields:
    """The raw keys of one file; every complaint made through it names that file."""

    def __init__(self, path: Path, values: Mapping[object, object]) -> None:
        self._path = path
        self._values = values

    def required(self, key: str, remedy: str) -> object:
        """Return a key's value, or fail with the remedy where the key is missing or empty."""
        value = self._values.get(key)
        if value is None:
            raise self.error(f"the key {key} is missing or empty", remedy)
        return value

    def optional(self, key: str) -> object:
        """Return a key's value, or None."""
        return self._values.get(key)

    def error(self, problem: str, remedy: str) -> ConfigError:
        """Build the error that names the file, what is wrong with it and what to do."""
        return ConfigError(f"{self._path}: {problem}", remedy)


def load_classify_config(path: Path | str, *, roots: DataRoots = ANYWHERE) -> ClassifyConfig:
    """Read and check a classification configuration.

    Raises:
        OutsideRootsError: The file is a link that leads out of ``roots``.
        ConfigError: The file cannot be read, or a key is missing or holds what cannot be meant.
    """
    fields = _read_fields(Path(path), roots)
    model = _read_model(fields)
    class_names, warnings = _read_class_names(fields)
    weights = fields.optional("weights")
    return ClassifyConfig(
        model=model,
        num_classes=_read_num_classes(fields, class_names),
        class_names=class_names,
        image_size=_read_image_size(fields, model),
        weights=weights.strip() if isinstance(weights, str) and not _is_written_none(weights) else None,
        warnings=warnings,
        recipe=_read_recipe(fields),
    )


def contradictions_with_card(config: ClassifyConfig, weight_path: Path, *, roots: DataRoots = ANYWHERE) -> tuple[str, ...]:
    """Tell where a configuration contradicts the model card that lies beside the weights, if it is about these weights.

    The configuration counts all the same: whoever wrote it may know better. But wrong names for a network's outputs are
    the commonest reason for bad results, and nothing else would show them.
    """
    card_path = weight_path.with_name(CARD_FILE)
    if not card_path.is_file():
        return ()
    try:
        card = read_model_card(card_path, roots=roots)
    except ModelCardError as error:
        return (error.message,)
    found = [
        f"{key} differs from {CARD_FILE} beside the weights, which says {_show(said)}"
        for key, ours, said in (
            ("class_names", list(config.class_names[: len(card.classes)]), card.classes),
            ("image_size", config.image_size, card.image_size),
        )
        if ours != said
    ]
    # Hashed only where it matters: the largest weights take seconds.
    return tuple(found) if found and sha256_of(weight_path) == card.weights_sha256 else ()


def _read_fields(path: Path, roots: DataRoots) -> _Fields:
    """Parse the file into its keys."""
    text = _read_text(path, roots)
    try:
        _refuse_expansion(path, text)
        values = yaml.safe_load(text)
    # A tag such as !!timestamp on a text that is none makes PyYAML raise these instead of an error of its own.
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: this is not valid YAML: {error}", "Correct the line that is named.") from error
    if not isinstance(values, Mapping):
        problem = f"{path}: expected keys with values, found {_show(values)}"
        raise ConfigError(problem, "Write lines such as 'model: resnet18'.")
    return _Fields(path, values)


def _read_text(path: Path, roots: DataRoots) -> str:
    """Read the file as UTF-8, with or without a byte order mark, if its size is sane."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file", "Give the path of a YAML file.")
    try:
        with roots.open(path) as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        problem = f"{path}: the configuration cannot be read: {error.strerror}"
        raise ConfigError(problem, "Check the file's rights.") from error
    if len(content) > MAX_CONFIG_BYTES:
        problem = f"{path}: larger than {MAX_CONFIG_BYTES} bytes"
        raise ConfigError(problem, "Is it a configuration? Give the path of the YAML file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is not UTF-8 text", "Save the file as UTF-8.") from error


def _refuse_expansion(path: Path, text: str) -> None:
    """Refuse aliases, deep nesting and masses of values, with which a small text takes gigabytes, the stack or minutes."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if count > MAX_VALUES:
            raise ConfigError(f"{path}: more than {MAX_VALUES} values", "Is it a configuration?")
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: YAML aliases (*{event.anchor}) are not accepted", "Write the value out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_NESTING:
            raise ConfigError(f"{path}: nested more than {MAX_NESTING} levels deep", "Is it a configuration?")


def _read_model(fields: _Fields) -> str:
    """Return the architecture's name, which must be one of those supported."""
    raw = fields.required("model", f"Add a line 'model: NAME' with one of: {', '.join(SUPPORTED_MODELS)}.")
    name = raw.strip() if isinstance(raw, str) else ""
    if name in SUPPORTED_MODELS:
        return name
    near = difflib.get_close_matches(name.lower(), SUPPORTED_MODELS, n=3)
    remedy = f"Did you mean {' or '.join(near)}?" if near else f"Supported: {', '.join(SUPPORTED_MODELS)}."
    raise fields.error(f"unknown model {_show(raw)}", remedy)


def _read_num_classes(fields: _Fields, class_names: Sequence[str]) -> int:
    """Return the number of classes, which must be the number of names."""
    raw = fields.required("num_classes", f"Add the line 'num_classes: {len(class_names)}'.")
    if raw not in (len(class_names), str(len(class_names))) or isinstance(raw, bool):
        problem = f"num_classes is {_show(raw)}, but class_names names {len(class_names)} classes"
        raise fields.error(problem, "Make them agree with the classes that the weights were trained on.")
    return len(class_names)


def _read_image_size(fields: _Fields, model: str) -> int:
    """Return the side of the square; accepts 224, (224, 224) and [224, 224], also as text."""
    raw = fields.required("image_size", "Add the size that the model was trained at, for example 'image_size: 224'.")
    match = _SQUARE.fullmatch(str(raw).strip()) if isinstance(raw, int | str | list) else None
    if match is None or match[2] not in (None, match[1]):
        raise fields.error(f"image_size {_show(raw)} is not a whole number of pixels", "Write 'image_size: 224'.")
    size = int(match[1])
    if size > MAX_IMAGE_SIZE:
        raise fields.error(f"image_size {size} is above {MAX_IMAGE_SIZE}", "Give the size that it was trained at.")
    if (complaint := check_image_size(model, size)) is not None:
        raise fields.error(f"image_size {size} does not fit: {complaint}", "Give the size that it was trained at.")
    return size


def _read_recipe(fields: _Fields) -> Mapping[str, Any] | None:
    """Return what the file tells of how pictures are made of IQ, checked as far as that goes without a recording."""
    raw = fields.optional("recipe")
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise fields.error(f"recipe is {_show(raw)}, not keys with values", "Write it as in 'recipe: {pipeline: P1}'.")
    recipe = {str(key): _number_or_same(value) for key, value in raw.items()}
    try:
        check_recipe(recipe)
    except RecipeError as error:
        raise fields.error(error.message, error.hint) from error
    return recipe


def _number_or_same(value: object) -> object:
    """Read a number such as 100e6, which YAML takes for text since it lacks a point and a sign."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _read_class_names(fields: _Fields) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names in index order, and what the user should know of how that order was found."""
    remedy = "Add the classes with their indices, as the training wrote them: 'class_names: {first: 0, second: 1}'."
    raw = fields.required("class_names", remedy)
    if isinstance(raw, Mapping) and raw:
        return _order_mapping(fields, raw), ()
    if isinstance(raw, list) and raw:
        return _order_list(fields, raw)
    raise fields.error(f"class_names is {_show(raw)}, not a list or a mapping of names", remedy)


def _order_mapping(fields: _Fields, raw: Mapping[object, object]) -> tuple[str, ...]:
    """Order names by their indices, which must be 0 to n - 1, each once."""
    if all(isinstance(key, int) and isinstance(value, str) for key, value in raw.items()):
        raise fields.error("class_names maps indices to names", "Turn it round: 'class_names: {name: 0}'.")
    names = [_check_name(fields, name) for name in raw]
    counts = Counter(index for index in raw.values() if type(index) is int)
    if counts != Counter(range(len(names))):
        missing = sorted(set(range(len(names))) - set(counts))
        raise fields.error(
            f"class_names must give every index from 0 to {len(names) - 1} to one class; nobody has {_show(missing)}",
            "Take the mapping from the config.yaml that the training wrote beside the weights.",
        )
    by_index = {index: name for name, index in zip(names, raw.values(), strict=True)}
    return tuple(by_index[index] for index in range(len(names)))


def _order_list(fields: _Fields, raw: Sequence[object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Order names as training does: by ASCII, whatever the order of the list."""
    names, warnings = _drop_stray_prefix([_check_name(fields, name) for name in raw])
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise fields.error(f"class_names holds {_show(repeated[0])} more than once", "Name every class once.")
    warnings.append(
        "class_names is a list, so indices were given in ASCII order of the names, as training gives them to folders;"
        " if predictions come out under wrong names, write a mapping from name to index instead."
    )
    return tuple(sorted(names)), tuple(warnings)


def _drop_stray_prefix(names: list[str]) -> tuple[list[str], list[str]]:
    """Put right a first name that swallowed a stray letter from before its quotes."""
    match = _STRAY_PREFIX.fullmatch(names[0])
    if match is None:
        return names, []
    warning = f"the first of class_names reads {names[0]!r}; {match['name']!r} was taken for what was meant."
    return [match["name"], *names[1:]], [warning]


def _check_name(fields: _Fields, raw: object) -> str:
    """Return a class name, refusing what YAML did not read as text."""
    if not isinstance(raw, str):
        kind = type(raw).__name__
        raise fields.error(f"YAML reads the class name {_show(raw)} as {kind}, not as text", "Put it into quotes.")
    if not raw.strip() or any(unicodedata.category(letter) in _UNPRINTABLE for letter in raw):
        raise fields.error(f"class name {_show(raw)} is empty or holds control characters", "Give a readable name.")
    return raw


def _is_written_none(text: str) -> bool:
    """Tell whether a text stands for nothing: Python's None is a plain string in YAML."""
    return text.strip().lower() in {"", "none", "null", "~"}


def _show(value: object) -> str:
    """Show a value from the file within a line, however large it is."""
    return reprlib.repr(value)
