"""Which paths a request may name: those inside the data roots, links resolved."""

import stat
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import configs
from actors.core.errors import SubmissionError
from actors.core.tasks import REGISTERED_MODEL, Submission
from actors.files.data_roots import DataRoots
from configs.settings import Settings

_OUTPUT: Final = "output"
#: Where the files of registered models lie in the state folder.
_MODELS: Final = "models"
#: The fields of an inference that say which weights are meant, and what they mean.
MODEL_FIELDS: Final = ("cfg_path", "weight_path")
_RESUME_FROM: Final = "resume_from"
_PACKAGES: Final = ("actors", "serve_app", "cluster", "configs")
#: What Python's ``sysconfig`` calls the folders of installed modules and programs.
_INSTALLED: Final = ("purelib", "platlib", "stdlib", "platstdlib", "scripts")


def build_data_roots(settings: Settings) -> DataRoots:
    """The data roots as configured, less the service's own files: they often lie in the same folder. Reads links: blocking."""
    return DataRoots.of(settings.data_roots, _own_files(settings))


def models_folder(settings: Settings) -> Path:
    """Where the files of registered models lie. Reads links: blocking."""
    return (settings.state_dir / _MODELS).resolve()


def build_model_roots(settings: Settings) -> DataRoots:
    """The data roots, and the files of registered models: where the weights may lie of a job that names such a model."""
    return build_data_roots(settings).also(models_folder(settings))


def resolve_inside(text: str, field: str, roots: DataRoots) -> Path:
    """Resolve a path of a request; a relative one is taken from the first root.

    Args:
        text: the path as given.
        field: the request field, for the error.
        roots: the result lies inside one of them.

    Raises:
        SubmissionError: ``path_forbidden`` where it leads out of every root, ``invalid_path`` where it is no path at all.
    """
    if not text.strip() or "\0" in text:
        raise SubmissionError("invalid_path", field, f"{text!r} is not a path", "give a path inside a data root")
    try:
        path = (roots.folders[0] / text).resolve()
    except (OSError, RuntimeError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or "it is a circle of links or no text"
        raise SubmissionError("invalid_path", field, f"{text!r} cannot be resolved: {reason}", "check the path") from None
    if not roots.holds(path):
        hint = "use a path inside a data root, or start the service with --data-root"
        raise SubmissionError("path_forbidden", field, f"{text!r} is outside the data roots", hint)
    return path


def resolve_existing(text: str, field: str, roots: DataRoots) -> Path:
    """Resolve like ``resolve_inside`` and insist that a file or a folder is there.

    Raises:
        SubmissionError: also ``path_not_found``; ``invalid_path`` for devices, pipes and sockets.
    """
    path = resolve_inside(text, field, roots)
    mode = _mode_of(path)
    if mode is None:
        raise SubmissionError(
            "path_not_found", field, f"no such file or folder: {text!r}", "relative paths start at the first data root"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SubmissionError("invalid_path", field, f"{text!r} is neither a file nor a folder", "name a regular file or a folder")
    return path


def resolve_file(text: str, field: str, roots: DataRoots) -> Path:
    """Resolve like ``resolve_existing`` and insist on a regular file.

    Raises:
        SubmissionError: also ``invalid_path`` for a folder.
    """
    path = resolve_existing(text, field, roots)
    if path.is_dir():
        raise SubmissionError("invalid_path", field, f"{text!r} is a folder", "name a file")
    return path


def find_model_files(submission: Submission, roots: DataRoots, model_roots: DataRoots) -> tuple[dict[str, Path], DataRoots]:
    """The configuration and the weights of an inference, by their fields: the user's own, or those of the registered model that it names.

    Args:
        submission: of an inference or an evaluation.
        roots: where the user's files lie.
        model_roots: where those of registered models lie, too.

    Returns:
        The files, and which of the roots they may be read in.

    Raises:
        SubmissionError: As ``resolve_file``.
    """
    if REGISTERED_MODEL in submission.resolved:
        return {field: resolve_file(submission.resolved[field], "model", model_roots) for field in MODEL_FIELDS}, model_roots
    return {field: resolve_file(submission.request[field], field, roots) for field in MODEL_FIELDS}, roots


def check_still_inside(resolved: Mapping[str, str], roots: DataRoots, model_roots: DataRoots | None = None) -> None:
    """Resolve the paths of a submission once more, at the start of an attempt: links may have changed while it waited.

    Args:
        resolved: what admission settled; entries that are no paths are passed over.
        roots: as configured now.
        model_roots: the same with the files of registered models, which only a job that names such a model may read.

    Raises:
        OutsideRootsError: one leads out of the roots now.
    """
    for name, text in resolved.items():
        if text and (name.endswith("_path") or name in {_OUTPUT, _RESUME_FROM}):
            is_registered = REGISTERED_MODEL in resolved and name in MODEL_FIELDS
            (model_roots or roots if is_registered else roots).locate(Path(text))


def _own_files(settings: Settings) -> Iterator[Path]:
    """The state (store, keys, logs), the settings that hold passwords, and the code that the next process would run."""
    yield settings.state_dir
    yield from (root / ".env" for root in settings.data_roots)
    code = Path(configs.__file__).parents[1]
    yield from (code / name for name in _PACKAGES)
    # An environment made in a data root: a file of weights (.pth) among its modules would be run at Python's next start.
    yield from {Path(sysconfig.get_path(name)) for name in _INSTALLED}


def _mode_of(path: Path) -> int | None:
    """The type and rights of what is at a path; None where nothing is, or nothing that can be seen."""
    try:
        return path.stat().st_mode
    except OSError:
        return None
