"""Splits class folders of pictures into train, valid and test, whole recordings at a time.

Owns which file goes where. Files are copied byte by byte, or linked, and never opened as pictures.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from actors.preprocessing.copying import copy_file, link_file
from actors.preprocessing.course import Course
from actors.preprocessing.partition import Ratios, count_images
from actors.preprocessing.plan import BY_RECORDING, Outcome, PublishAll, Record, SplitPlan, Surroundings, check_split
from actors.preprocessing.recordings import recordings_of
from actors.preprocessing.run_folder import RunFolder
from actors.preprocessing.sources import SourceTree, list_tree, printable, refuse_output_within

#: Copies handed to a thread at once: one takes some 50 microseconds, about what handing it over does.
_BATCH_SIZE: Final = 64


@dataclass(frozen=True, slots=True)
class Assignment:
    """The part of every file. Within a class no recording lies in two parts."""

    part_of: Mapping[str, str]
    #: Class, then recording, to its part.
    recordings: Mapping[str, Mapping[str, str]]
    warnings: tuple[str, ...]


def run_split(
    plan: SplitPlan,
    *,
    report: Callable[[Record], None],
    should_stop: Callable[[], bool],
    staging: Path,
    publish_all: PublishAll,
) -> Outcome:
    """Copy each picture of the class folders into its part.

    Args:
        plan: What to split and how.
        report: Takes log lines, from the calling thread.
        should_stop: Asked at least every fifth of a second, from the calling thread.
        staging: A folder of this attempt alone, on the file system of the output folder; made if need be.
        publish_all: Gives finished files their places within the output folder.

    Raises:
        ConfigError: The plan contradicts itself, or the output lies within the input.
        DatasetError: The input cannot be read, holds no pictures, or the recordings cannot be told.
        OutputTakenError: The output folder holds something else.
        AllFilesFailedError: Not one file could be copied.
        OutputError: A file cannot be written.
    """
    check_split(plan)
    refuse_output_within(plan.input_path, plan.output_path, source_field="input_path")
    tree = list_tree(plan.input_path, depth=1, roots=plan.roots)
    assignment = assign(tree, plan)
    transfer = link_file if plan.files == "link" else copy_file
    course = Course(
        folder=RunFolder(plan.output_path, "dataset_split", _parameters(plan), tree),
        outputs={file.name: {f"{assignment.part_of[file.name]}/{file.name}": file.size_bytes} for file in tree.files},
        warnings=(*tree.warnings, *assignment.warnings),
        make=lambda file, staged: transfer(plan.input_path / file.source, staged[0], roots=plan.roots),
        stats=lambda run: _stats(tree, assignment, run.finished),
        notes={"recordings": assignment.recordings},
        batch_size=_BATCH_SIZE,
    )
    return course.run(Surroundings(report, should_stop, staging, publish_all), threads=plan.threads)


def assign(tree: SourceTree, plan: SplitPlan) -> Assignment:
    """Decide the part of every file, class by class.

    The same names, seed, ratios and rule give the same parts, in whatever order folders are listed.

    Raises:
        RecordingError: A regular expression does not tell every file's recording.
    """
    names_of: dict[str, list[str]] = {}
    for file in tree.files:
        names_of.setdefault(file.name.partition("/")[0], []).append(file.name)
    part_of: dict[str, str] = {}
    recordings: dict[str, Mapping[str, str]] = {}
    warnings: list[str] = []
    ratios = Ratios(plan.train_ratio, plan.val_ratio, plan.seed)
    for class_name, names in names_of.items():
        recording_of = recordings_of(names, plan.group_by)
        sizes = Counter(recording_of.values())
        part_of_recording = ratios.parts_of(class_name, sizes)
        recordings[class_name] = part_of_recording
        part_of.update((name, part_of_recording[recording_of[name]]) for name in names)
        warnings.extend(_warnings(class_name, sizes, ratios.empty_parts(part_of_recording), plan))
    return Assignment(part_of, recordings, tuple(warnings))


def _warnings(class_name: str, sizes: Mapping[str, int], empty: list[str], plan: SplitPlan) -> list[str]:
    """Say where a class cannot be split as asked, and where its names tell no recordings."""
    name, pictures = printable(class_name), sum(sizes.values())
    if empty:
        remedy = "" if plan.group_by != BY_RECORDING else "; group_by tells how recordings are named, 'file' takes each by itself"
        problem = f"class {name} has {len(sizes)} recordings ({pictures} pictures): nothing of it is in {' and '.join(empty)}"
        return [problem + remedy]
    if plan.group_by == BY_RECORDING and len(sizes) == pictures:
        return [
            f"class {name}: every one of its {pictures} file names is taken for a recording of its own; if not so, give group_by"
        ]
    return []


def _parameters(plan: SplitPlan) -> dict[str, Any]:
    """Give what decides the result; a link and a copy hold the same."""
    return {
        "input_path": str(plan.input_path),
        "train_ratio": plan.train_ratio,
        "val_ratio": plan.val_ratio,
        "seed": plan.seed,
        "group_by": plan.group_by,
    }


def _stats(tree: SourceTree, assignment: Assignment, finished: Collection[str]) -> dict[str, Any]:
    """Count the pictures that are in their parts."""
    figures = count_images(assignment.part_of[name] for name in finished)
    return {"total_images": len(tree.files), **figures, "classes": [printable(name) for name in assignment.recordings]}
