"""Augments a dataset: each picture of train and valid as it is, and once changed by each method.

Owns the names of the results. The untouched copy is one of bytes, made once.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import cv2

from actors.preprocessing.augmentations import augment, generator_for
from actors.preprocessing.copying import copy_file
from actors.preprocessing.course import Course
from actors.preprocessing.file_runs import UnfinishedFile
from actors.preprocessing.pixels import Picture, read_picture, write_picture
from actors.preprocessing.plan import AugmentPlan, Outcome, PublishAll, Record, Surroundings, check_methods
from actors.preprocessing.run_folder import RunFolder
from actors.preprocessing.sources import SourceFile, SourceTree, list_dataset, named, printable, refuse_output_within

_ORIGIN: Final = "_origin"


def run_augment(
    plan: AugmentPlan,
    *,
    report: Callable[[Record], None],
    should_stop: Callable[[], bool],
    staging: Path,
    publish_all: PublishAll,
) -> Outcome:
    """Write the untouched copy and the changed ones of every picture in the class folders of train and valid.

    What a picture becomes depends on the seed, its path and the method alone. The arguments are those of ``run_split``.

    Raises:
        ConfigError: The methods are no usable list, or the output lies within the dataset.
        DatasetError: The dataset cannot be read or holds no pictures.
        OutputTakenError: The output folder holds something else.
        AllFilesFailedError: Not one picture could be augmented.
        OutputError: A file cannot be written.
    """
    check_methods(plan.methods)
    refuse_output_within(plan.dataset_path, plan.output_path, source_field="dataset_path")
    tree = list_dataset(plan.dataset_path, roots=plan.roots)
    # Files are worked on side by side; OpenCV's threads within one would only get in the way of that.
    cv2.setNumThreads(1)
    course = Course(
        folder=RunFolder(plan.output_path, "data_augmentation", _parameters(plan), tree),
        outputs={file.name: _outputs_of(file, plan) for file in tree.files},
        warnings=tree.warnings,
        make=lambda file, staged: _make(plan, file, staged),
        stats=lambda run: _stats(tree, plan, run.finished),
    )
    return course.run(Surroundings(report, should_stop, staging, publish_all), threads=plan.threads)


def _outputs_of(file: SourceFile, plan: AugmentPlan) -> dict[str, int | None]:
    """Name what a picture becomes, in the order of the methods, the untouched copy last."""
    changed: dict[str, int | None] = {named(file.name, f"_AugM{number}"): None for number in range(len(plan.methods))}
    return {**changed, named(file.name, _ORIGIN): file.size_bytes}


def _make(plan: AugmentPlan, file: UnfinishedFile, staged: Sequence[Path]) -> None:
    """Write what is missing of one picture."""
    source = plan.dataset_path / file.source
    picture = read_picture(source, roots=plan.roots)
    method_of = {named(file.source, f"_AugM{number}"): method for number, method in enumerate(plan.methods)}
    for output, path in zip(file.outputs, staged, strict=True):
        if output not in method_of:
            copy_file(source, path, roots=plan.roots)
            continue
        method = method_of[output]
        changed = augment(picture.colours, method, generator_for(plan.seed, file.source, method))
        write_picture(Picture(changed, picture.alpha, picture.format), path)


def _parameters(plan: AugmentPlan) -> dict[str, Any]:
    """Give what decides the result."""
    return {"dataset_path": str(plan.dataset_path), "methods": list(plan.methods), "seed": plan.seed}


def _stats(tree: SourceTree, plan: AugmentPlan, finished: Collection[str]) -> dict[str, Any]:
    """Count pictures found and pictures made."""
    return {
        "original_images": len(tree.files),
        "augmented_images": len(finished) * len(plan.methods),
        "methods_used": len(plan.methods),
        "classes": sorted({printable(file.name.split("/")[1]) for file in tree.files}),
    }
