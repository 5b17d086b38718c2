"""Requests and answers of the Open Inference Protocol, version 2, over REST.

Owns the protocol's own names. Fields of a request that we do not know are passed over, as the protocol's extensions demand.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from serve_app.schemas.fields import ResponseModel

Parameters = Annotated[dict[str, Any], Field(description="of extensions; those that are not known are passed over")]
Shape = Annotated[list[Annotated[StrictInt, Field(ge=-1)]], Field(max_length=8)]


class ProtocolError(ResponseModel):
    """What is wrong with a request."""

    error: str


class ServerLive(ResponseModel):
    """Whether the service answers at all."""

    live: bool


class ServerReady(ResponseModel):
    """Whether a replica can predict."""

    ready: bool


class ServerMetadata(ResponseModel):
    """What the service is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(ResponseModel):
    """What a tensor must be; -1 stands for any number."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(ResponseModel):
    """What a model takes and gives; of the version that was asked for."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str] = Field(description="what the values of the tensors mean")


class ModelReady(ResponseModel):
    """Whether a model can be asked."""

    name: str
    ready: bool


class IndexEntry(ResponseModel):
    """A version in the registry."""

    name: str
    version: str
    state: str
    reason: str


class _Part(BaseModel):
    """Base of what a request is made of."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class InputTensor(_Part):
    """The pictures of a request."""

    name: StrictStr
    shape: Shape
    datatype: StrictStr
    parameters: Parameters = {}
    data: Any = Field(None, description="numbers row by row, flat or nested; left out where they follow in binary")


class RequestedOutput(_Part):
    """A tensor that is wanted, and how: in binary or as JSON."""

    name: StrictStr
    parameters: Parameters = {}


class InferRequest(_Part):
    """The JSON of a request; binary data follow it."""

    id: StrictStr = Field("", max_length=1000, description="comes back with the answer")
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(max_length=100)
    outputs: list[RequestedOutput] = Field([], max_length=100)


class BinaryTensorParameters(BaseModel):
    """What the extension for binary data says of an input."""

    binary_data_size: StrictInt | None = Field(None, ge=0)
    shared_memory_region: Any = None


class BinaryOutputParameters(BaseModel):
    """What the extensions say of an output."""

    binary_data: StrictBool | None = None
    classification: Any = None
    shared_memory_region: Any = None


class BinaryRequestParameters(BaseModel):
    """What the extension says of a whole request."""

    binary_data_output: StrictBool = False


class OutputTensor(ResponseModel):
    """Probabilities, a row for each picture; ``data`` is left out where they follow in binary."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float] | None = None


class InferResponse(ResponseModel):
    """The answer to an inference."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="as the request had it")
    outputs: list[OutputTensor]
