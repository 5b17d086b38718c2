r"""Tells from a picture's file name which recording it was cut from.

Pictures of one recording resemble each other; when they fall on both sides of a split, validation measures memory. The
default rule, on the path below the class folder:

1. The marks of our own augmentation (``_AugM3``, ``_origin``) are dropped: variants of a picture belong to it.
2. One number at the end is a frame number and is dropped: ``_5``, ``-0012``, `` (3)``, ``_frame0005``, ``.7``.
3. Then worded pieces and time spans are dropped, as often as they occur: ``_seg2``, ``-part003``, ``_0-1s``.
4. What is left, with its sub-folder, is the recording: ``s01_gfile017_433.92M_250k_5`` is of ``s01_gfile017_433.92M_250k``.
5. A name of frames alone (``frame_14``, ``3_waterfall_spectrogram``, ``0-0.1s-jet-1024``) tells nothing but that it was
   cut from something: all such files of a sub-folder are one recording.
6. If the rest is empty, the class's own name or a word for any file (``12``, ``DJI MINI3 (4)``, ``img_0007``, ``rec_02``),
   the number does not count frames as far as one can tell: the file is a recording of its own.

It owns this rule and the safe use of a user's regular expression; it opens no picture.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from actors.preprocessing.errors import RecordingError
from actors.preprocessing.plan import BY_FILE, BY_RECORDING

#: Seconds that a user's regular expression may take for all names together.
PATTERN_TIME_LIMIT_S: Final = 20.0

_PIECE = r"(?:frame|frm|seg|segment|part|piece|chunk|slice|window|win)"
_AUGMENTED: Final = re.compile(r"_(?:AugM\d+|origin)$")
_FRAME_NUMBER: Final = re.compile(rf"(?:[\s_.-]*\(\d+\)|[\s_.-]+{_PIECE}[\s_.-]*\d+|[\s_.-]+\d+)$", re.IGNORECASE)
_WORDED_PIECE: Final = re.compile(rf"[\s_.-]+(?:{_PIECE}[\s_.-]*\d+|\d+(?:\.\d+)?-\d+(?:\.\d+)?s)$", re.IGNORECASE)
_FRAMES_ALONE: Final = re.compile(
    rf"(?:{_PIECE}[\s_.-]*\d*|\d+[\s_.-]*waterfall_spectrogram|\d+(?:\.\d+)?-\d+(?:\.\d+)?s(?:-.*)?)$", re.IGNORECASE
)
_WORDS_FOR_ANY_FILE: Final = frozenset(
    {"img", "image", "pic", "picture", "photo", "sample", "spectrogram", "waterfall", "data"}
    | {"file", "signal", "iq", "rec", "record", "recording", "capture", "pack"}
)


def recordings_of(names: Sequence[str], group_by: str) -> Mapping[str, str]:
    """Tell the recording of each file of one class.

    Args:
        names: Paths whose first folder is the class.
        group_by: As in ``SplitPlan``.

    Returns:
        The recording of each name: any text; equal texts are one recording within a class.

    Raises:
        RecordingError: A regular expression does not match a name, or takes too long.
    """
    if group_by == BY_FILE:
        return {name: name for name in names}
    if group_by == BY_RECORDING:
        return {name: recording_of(name) for name in names}
    return _matched(names, group_by)


def recording_of(name: str) -> str:
    """Tell the recording of a file by the default rule."""
    class_name, _, below_class = name.partition("/")
    folder, _, file = below_class.rpartition("/")
    stem = file.rpartition(".")[0] or file
    while marked := _AUGMENTED.search(stem):
        stem = stem[: marked.start()]
    if _FRAMES_ALONE.match(stem):
        return f"{folder}/"
    base = _FRAME_NUMBER.sub("", stem, count=1)
    while piece := _WORDED_PIECE.search(base):
        base = base[: piece.start()]
    return f"{folder}/{base if _names_something(base, class_name) else stem}"


def _names_something(base: str, class_name: str) -> bool:
    """Tell whether what is left of a name says more than that it is a picture of its class."""
    word = base.strip(" _.-").lower()
    return bool(word) and word not in _WORDS_FOR_ANY_FILE and word != class_name.lower()


def _matched(names: Sequence[str], pattern: str) -> Mapping[str, str]:
    """Match a user's regular expression where it can do no harm.

    It sees the path below the class folder, so that a sub-folder can be the recording.
    """
    below_class = [name.partition("/")[2] for name in names]
    program = [sys.executable, "-I", str(Path(__file__).with_name("match_names.py"))]
    question = json.dumps({"pattern": pattern, "names": below_class})
    try:
        answer = subprocess.run(program, input=question, capture_output=True, text=True, timeout=PATTERN_TIME_LIMIT_S, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        problem = f"group_by {pattern!r} could not be matched against {len(names)} names within {PATTERN_TIME_LIMIT_S:.0f} s"
        raise RecordingError(problem, "Simplify it; nested repetitions such as (a+)+ take forever.") from error
    recordings: list[str | None] = json.loads(answer.stdout)
    found = {name: recording for name, recording in zip(names, recordings, strict=True) if recording is not None}
    if len(found) < len(names):
        stranger = next(name for name in names if name not in found)
        problem = f"group_by {pattern!r} matches {len(found)} of {len(names)} files; it does not match {stranger}"
        raise RecordingError(problem, "Widen it: the recording of every file must be known, or the split may leak.")
    return found
