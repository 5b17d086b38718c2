"""Inference requests of the Open Inference Protocol: from the bytes of a body to a batch, and from probabilities to bytes.

Owns what tensors a model takes and gives, and both ways in which they are sent: numbers in JSON, or binary data behind it. It knows
nothing of HTTP; everything wrong is told with the name of the tensor.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from actors.online.orders import TensorAnswer
from actors.registry.records import ServedVersion
from serve_app.json_tensors import TensorTextError, cut_out_arrays, read_json, read_numbers
from serve_app.schemas.open_inference import (
    BinaryOutputParameters,
    BinaryRequestParameters,
    BinaryTensorParameters,
    InferRequest,
    InputTensor,
    RequestedOutput,
)

INPUT: Final = "input"
OUTPUT: Final = "probabilities"
DATATYPE: Final = "FP32"
CHANNELS: Final = 3
_VALUE_BYTES: Final = 4
_ENCODINGS: Final = ("gzip", "deflate")
#: What is packed is taken, and unpacked, in steps of so many bytes.
_STEP_BYTES: Final = 1 << 20
Parameters = TypeVar("Parameters", bound=BaseModel)


class TensorError(ValueError):
    """A request that is not as the protocol or the model wants it."""


class TooLargeError(ValueError):
    """A body that is larger than it may be once it is unpacked."""


@dataclass(frozen=True, slots=True)
class InferTerms:
    """What a request may be.

    Attributes:
        served: the version that is asked.
        most_bytes: of the body once it is unpacked.
        most_pictures: of its batch.
        reserve: called with a number of bytes before that much memory is taken; what it raises ends the reading.
    """

    served: ServedVersion
    most_bytes: int
    most_pictures: int
    reserve: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """An inference that was asked for.

    Attributes:
        request_id: the caller's; "" for none.
        inputs: of shape (n, 3, image_size, image_size).
        is_binary: whether the probabilities are wanted as binary data.
    """

    request_id: str
    inputs: NDArray[np.float32]
    is_binary: bool


def input_shape(served: ServedVersion) -> list[int]:
    """The shape of a batch; -1 for the number of pictures."""
    return [-1, CHANNELS, served.image_size, served.image_size]


def unpack(body: bytes | bytearray, encoding: str, terms: InferTerms) -> bytes | bytearray:
    """Undo the compression of a body.

    Raises:
        TensorError: there is no such compression, or the body is not compressed so.
        TooLargeError: it would be larger than the terms allow.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in _ENCODINGS:
        raise TensorError(f"Content-Encoding {encoding[:100]!r} is none of {', '.join(_ENCODINGS)}")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # tells gzip from zlib by itself
    unpacked = bytearray()
    try:
        for piece in _pieces(memoryview(body), inflater):
            terms.reserve(len(piece))
            unpacked += piece
            if len(unpacked) > terms.most_bytes:
                raise TooLargeError
    except zlib.error as error:
        raise TensorError(f"the body is not compressed as {encoding}: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise TensorError(f"the body is not one whole piece of {encoding}")
    return unpacked


def _pieces(packed: memoryview, inflater: "zlib._Decompress") -> Iterator[bytes]:
    """Unpack in steps; what lies behind the end goes to the inflater too, which keeps it as unused."""
    for start in range(0, len(packed), _STEP_BYTES):
        rest: bytes | memoryview = packed[start : start + _STEP_BYTES]
        while rest:
            yield inflater.decompress(rest, _STEP_BYTES)
            rest = b"" if inflater.eof else inflater.unconsumed_tail  # at the end it would hold what is unused for ever
        if inflater.unused_data:
            return
    while piece := inflater.decompress(b"", _STEP_BYTES):
        yield piece


def read_infer_request(body: bytes | bytearray, header_bytes: int | None, terms: InferTerms) -> TensorRequest:
    """Read the body of an inference.

    Args:
        body: JSON, and binary data behind it.
        header_bytes: how long the JSON is; None for all of the body.
        terms: what it may be.

    Raises:
        TensorError: it is not as it must be.
    """
    if header_bytes is not None and header_bytes > len(body):
        raise TensorError(f"Inference-Header-Content-Length is {header_bytes}, but the body has {len(body)} bytes")
    content = memoryview(body)
    header, binary = content[:header_bytes], content[len(body) if header_bytes is None else header_bytes :]
    try:
        text, arrays = cut_out_arrays(header)
        request = _validated(InferRequest, read_json(text), "the request")
    except TensorTextError as error:
        raise TensorError(str(error)) from None
    tensor = _only_input(request.inputs)
    shape = _checked_shape(tensor, terms)
    inputs = _read_tensor(tensor, arrays, binary, int(np.prod(shape, dtype=np.int64)))
    if not np.isfinite(inputs).all():
        raise TensorError(f"tensor {INPUT!r} holds values that are not finite; they must be within 0..1")
    return TensorRequest(request.id, inputs.reshape(shape), _wants_binary(request))


def write_infer_response(answer: TensorAnswer, request: TensorRequest) -> tuple[bytes, int | None]:
    """Write the answer to an inference; beside it the length of its JSON where binary data follow."""
    probabilities = np.ascontiguousarray(answer.probabilities, dtype="<f4")
    output: dict[str, Any] = {"name": OUTPUT, "datatype": DATATYPE, "shape": list(probabilities.shape)}
    output |= (
        {"parameters": {"binary_data_size": probabilities.nbytes}}
        if request.is_binary
        else {"data": probabilities.ravel().tolist()}
    )
    told: dict[str, Any] = {"model_name": answer.name, "model_version": str(answer.version)}
    told |= {"id": request.request_id} if request.request_id else {}
    text = to_json(told | {"outputs": [output]}, inf_nan_mode="null")
    return (text + probabilities.tobytes(), len(text)) if request.is_binary else (text, None)


def _only_input(inputs: Sequence[InputTensor]) -> InputTensor:
    names = [tensor.name for tensor in inputs]
    if names != [INPUT]:
        raise TensorError(f"the request must have one input, the tensor {INPUT!r}, not {names[:10]!r}"[:500])
    if inputs[0].datatype != DATATYPE:
        raise TensorError(f"tensor {INPUT!r} must have datatype {DATATYPE}, not {inputs[0].datatype[:50]!r}")
    return inputs[0]


def _checked_shape(tensor: InputTensor, terms: InferTerms) -> tuple[int, ...]:
    wanted = input_shape(terms.served)
    if tensor.shape[1:] != wanted[1:] or not tensor.shape or not 1 <= tensor.shape[0] < 2**31:
        raise TensorError(f"tensor {INPUT!r} must have shape {wanted} with at least one picture, not {tensor.shape}"[:500])
    if tensor.shape[0] > terms.most_pictures:
        told = f"{tensor.shape[0]} pictures, and a request may have {terms.most_pictures} (RFUAV_MAX_PREDICT_FRAMES)"
        raise TensorError(f"tensor {INPUT!r} has {told}")
    return tuple(tensor.shape)


def _read_tensor(tensor: InputTensor, arrays: Sequence[bytes], binary: memoryview, count: int) -> NDArray[np.float32]:
    """The values of a tensor, flat."""
    given = _validated(BinaryTensorParameters, tensor.parameters, f"the parameters of tensor {INPUT!r}")
    if given.shared_memory_region is not None:
        raise TensorError(f"tensor {INPUT!r} lies in shared memory, which this service does not take; send its data")
    if given.binary_data_size is not None:
        size_bytes = count * _VALUE_BYTES
        if tensor.data is not None or given.binary_data_size != size_bytes or len(binary) != size_bytes:
            told = f"{given.binary_data_size} are announced and {len(binary)} came"
            raise TensorError(
                f"tensor {INPUT!r} of shape {tensor.shape} takes {size_bytes} bytes of binary data and no other; {told}"
            )
        return np.frombuffer(binary, dtype="<f4").astype(np.float32, copy=False)
    if len(binary) or len(arrays) != 1 or tensor.data is not True:
        raise TensorError(f"tensor {INPUT!r} must have its numbers in 'data', or as binary data with 'binary_data_size'")
    if 2 * count - 1 > len(arrays[0]):
        raise TensorError(f"tensor {INPUT!r} of shape {tensor.shape} takes {count} numbers, and its data hold fewer")
    try:
        return read_numbers(arrays[0], count)
    except TensorTextError as error:
        raise TensorError(f"the data of tensor {INPUT!r} cannot be read: {error}") from None


def _wants_binary(request: InferRequest) -> bool:
    """Whether the only output is wanted as binary data; what is said of the output counts more than what is said of all."""
    of_all = _validated(BinaryRequestParameters, request.parameters, "the request's parameters").binary_data_output
    wanted = [_output_wish(output) for output in request.outputs]
    return next((each for each in wanted if each is not None), of_all)


def _output_wish(output: RequestedOutput) -> bool | None:
    if output.name != OUTPUT:
        raise TensorError(f"there is no output {output.name[:100]!r}; the only one is {OUTPUT!r}")
    given = _validated(BinaryOutputParameters, output.parameters, f"the parameters of output {OUTPUT!r}")
    if given.classification or given.shared_memory_region is not None:
        raise TensorError(f"output {OUTPUT!r} cannot be given as classes or in shared memory; take its probabilities")
    return given.binary_data


def _validated(model: type[Parameters], value: object, what: str) -> Parameters:
    """A part of a request as it must be. Raises TensorError, which says where it is not."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise TensorError(f"{what}: {where + ': ' if where else ''}{first['msg']}") from None
