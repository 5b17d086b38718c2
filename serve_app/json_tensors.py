"""Numbers of tensors that come as JSON text, without an object for each of them and without keeping other threads waiting.

A picture is 150,000 numbers. Read as plain JSON they would be as many Python objects, and Python's reader lets no other thread run
meanwhile: the event loop would stand still for as long, whichever thread does it. Here the arrays are cut out of the text and read in
pieces.
"""

import json
import re
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

#: Of the text without its arrays.
MOST_HEADER_BYTES: Final = 256 << 10
#: Read in a fraction of a millisecond.
_PIECE_BYTES: Final = 32 << 10

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_MARK: Final = re.compile(rb'["\x00]')
_ARRAY_FOLLOWS: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(?=\[)")
_NUMBERS: Final = re.compile(rb"[0-9eE+\-., \t\r\n\[\]]*+")
#: With spaces for them, text that would join numbers without a comma between is no JSON.
_WITHOUT_BRACKETS: Final = bytes.maketrans(b"[]", b"  ")


class TensorTextError(ValueError):
    """Text that is no JSON, or an array that is none of numbers; the text says which."""


def cut_out_arrays(text: bytes | bytearray | memoryview) -> tuple[bytes, list[bytes]]:
    """Cut the arrays of the fields called ``data`` out of JSON text.

    Returns:
        The text with ``true`` in their places, and their texts with the brackets.

    Raises:
        TensorTextError: An array holds something other than numbers; or what is left is too long.
    """
    left, arrays = bytearray(), []
    position, end = 0, len(text)
    while position < end:
        if len(left) > MOST_HEADER_BYTES:
            raise TensorTextError(f"the JSON may take {MOST_HEADER_BYTES} bytes beside the data of its tensors")
        mark = _MARK.search(text, position, min(end, position + _PIECE_BYTES))
        if mark is None:
            left += text[position : position + _PIECE_BYTES]
            position += _PIECE_BYTES
            continue
        string = _STRING.match(text, mark.start(), min(end, mark.start() + MOST_HEADER_BYTES))
        if string is None:
            raise TensorTextError("the JSON holds a text that does not end")
        left += text[position : string.end()]
        position = string.end()
        following = _ARRAY_FOLLOWS.match(text, position) if string[0] == b'"data"' else None
        if following is not None:
            array = _array_at(text, following.end())
            arrays.append(array)
            left += b":true"
            position = following.end() + len(array)
    return bytes(left), arrays


def read_numbers(array: bytes, count: int) -> NDArray[np.float32]:
    """Read the text of an array of numbers, flat or nested.

    Args:
        array: With its brackets.
        count: How many there must be.

    Raises:
        TensorTextError: There are more or fewer, or it is no JSON.
    """
    if array.count(b"[") != array.count(b"]"):
        raise TensorTextError("its brackets do not match")
    values = np.empty(count, np.float32)
    filled = position = 0
    while position <= len(array):
        comma = -1 if len(array) - position <= _PIECE_BYTES else array.rfind(b",", position, position + _PIECE_BYTES)
        stop = comma if comma > 0 else len(array)
        if stop - position > _PIECE_BYTES:
            raise TensorTextError("it holds a number without an end")
        piece = _read_piece(array[position:stop], is_all=position == 0 and stop == len(array))
        if filled + len(piece) > count:
            raise TensorTextError(f"it holds more than {count} numbers")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is for others to refuse
            values[filled : filled + len(piece)] = piece
        filled += len(piece)
        position = stop + 1
    if filled != count:
        raise TensorTextError(f"it holds {filled} numbers, not {count}")
    return values


def read_json(text: bytes) -> object:
    """Read what was left. Raises TensorTextError."""
    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise TensorTextError(f"the body is not JSON: {error}") from None


def _array_at(text: bytes | bytearray | memoryview, start: int) -> bytes:
    """The array that begins here. What follows the array of a field is a brace, or a comma and a quote: neither is in a number."""
    stop = start
    while True:
        found = _NUMBERS.match(text, stop, stop + _PIECE_BYTES)
        reached = found.end() if found else stop
        if reached < stop + _PIECE_BYTES:
            break
        stop = reached
    run = bytes(text[start:reached])
    if b"]" not in run or (reached < len(text) and text[reached] not in b'"}'):
        raise TensorTextError("the data of a tensor must be an array of numbers, or nested ones")
    return run[: run.rfind(b"]") + 1]


def _read_piece(text: bytes, *, is_all: bool) -> NDArray[np.float64]:
    try:
        values = from_json(b"[" + text.translate(_WITHOUT_BRACKETS) + b"]", allow_inf_nan=False)
        if not values and not is_all:
            raise TensorTextError("it has a comma too many")
        return np.array(values, np.float64)
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, TensorTextError) else TensorTextError(f"it is no JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
