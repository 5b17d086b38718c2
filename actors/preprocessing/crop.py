"""Crops a picture, or all pictures of a tree, to the same box.

A picture that the box leaves fails by itself; the tree's folders stay as they are.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import cv2

from actors.preprocessing.course import Course
from actors.preprocessing.file_runs import UnfinishedFile
from actors.preprocessing.pixels import cropped, read_picture, write_picture
from actors.preprocessing.plan import CropPlan, Outcome, PublishAll, Record, Surroundings, check_crop
from actors.preprocessing.run_folder import RunFolder
from actors.preprocessing.sources import SourceTree, list_file, list_tree, refuse_output_within


def run_crop(
    plan: CropPlan,
    *,
    report: Callable[[Record], None],
    should_stop: Callable[[], bool],
    staging: Path,
    publish_all: PublishAll,
) -> Outcome:
    """Write the box of every picture under the picture's own name. The arguments are those of ``run_split``.

    Raises:
        ConfigError: The box is none, or the output lies within the input.
        DatasetError: The input cannot be read or holds no pictures.
        OutputTakenError: The output folder holds something else, the input picture itself for one.
        AllFilesFailedError: Not one picture could be cropped.
        OutputError: A file cannot be written.
    """
    check_crop(plan)
    tree = _list_input(plan)
    cv2.setNumThreads(1)
    course = Course(
        folder=RunFolder(plan.output_path, "image_crop", _parameters(plan), tree),
        outputs={file.name: {file.name: None} for file in tree.files},
        warnings=tree.warnings,
        make=lambda file, staged: _make(plan, tree.root, file, staged),
        stats=lambda run: _stats(tree, run.finished),
    )
    return course.run(Surroundings(report, should_stop, staging, publish_all), threads=plan.threads)


def _list_input(plan: CropPlan) -> SourceTree:
    """List the picture, or those of the tree."""
    if not plan.input_path.is_dir():
        return list_file(plan.input_path)
    refuse_output_within(plan.input_path, plan.output_path, source_field="input_path")
    return list_tree(plan.input_path, roots=plan.roots)


def _make(plan: CropPlan, root: Path, file: UnfinishedFile, staged: Sequence[Path]) -> None:
    """Crop one picture."""
    picture = read_picture(root / file.source, roots=plan.roots)
    write_picture(cropped(picture, x=plan.x, y=plan.y, width=plan.width, height=plan.height), staged[0])


def _parameters(plan: CropPlan) -> dict[str, Any]:
    """Give what decides the result."""
    box = {field: getattr(plan, field) for field in ("x", "y", "width", "height")}
    return {"input_path": str(plan.input_path), **box}


def _stats(tree: SourceTree, finished: Collection[str]) -> dict[str, int]:
    """Count the pictures found, and those that were cropped and were not."""
    return {"total_images": len(tree.files), "success": len(finished), "failed": len(tree.files) - len(finished)}
