"""Which paths a request may name: those inside the data roots, links resolved."""

from collections.abc import Sequence
from pathlib import Path

from actors.core.errors import SubmissionError


def resolve_inside(text: str, field: str, roots: Sequence[Path]) -> Path:
    """Resolve a path of a request; a relative one is taken from the first root.

    Args:
        text: the path as given.
        field: the request field, for the error.
        roots: absolute folders; the result lies inside one of them.

    Raises:
        SubmissionError: ``path_forbidden`` where it leads out of every root, ``invalid_path`` where it is no path at all.
    """
    if not text.strip() or "\0" in text:
        raise SubmissionError("invalid_path", field, f"{text!r} is not a path", "give a path inside a data root")
    try:
        path = (roots[0] / text).resolve()
    except (OSError, RuntimeError) as error:
        raise SubmissionError("invalid_path", field, f"{text!r} cannot be resolved: {error}", "check the path") from None
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        hint = "use a path inside a data root, or start the service with --data-root"
        raise SubmissionError("path_forbidden", field, f"{text!r} is outside the data roots", hint)
    return path


def resolve_existing(text: str, field: str, roots: Sequence[Path]) -> Path:
    """Resolve like ``resolve_inside`` and insist that something is there.

    Raises:
        SubmissionError: also ``path_not_found``.
    """
    path = resolve_inside(text, field, roots)
    try:
        is_there = path.exists()
    except OSError:
        is_there = False
    if not is_there:
        raise SubmissionError(
            "path_not_found", field, f"no such file or folder: {text!r}", "relative paths start at the first data root"
        )
    return path
