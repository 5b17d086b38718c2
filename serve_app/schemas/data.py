"""Files and folders as answers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from serve_app.schemas.fields import ResponseModel, Timestamp

PathInRequests = Annotated[str, Field(description="as the path fields of requests take it")]


class EntryKind(StrEnum):
    """What a request could do with an entry of a folder."""

    FOLDER = "folder"
    FILE = "file"
    #: A link out of the roots or to nothing, a device, a pipe, a part that is closed, a name that is no text.
    UNUSABLE = "unusable"


class DataEntry(ResponseModel):
    """One file or folder."""

    name: str
    path: PathInRequests
    kind: EntryKind = Field(description="unusable: a link out of the data roots, a device, or a part that is closed to requests")
    size_bytes: int | None = Field(description="of a file")
    modified_at: Timestamp | None


class DataResponse(ResponseModel):
    """One page of a folder, by name; without a path, the data roots, all of them."""

    path: PathInRequests | None
    parent: PathInRequests | None = Field(description="null at a data root")
    entries: list[DataEntry]
    next_cursor: str | None


class FileBody(ResponseModel):
    """One file that lies in the output folder of a task."""

    path: str = Field(description="below the output folder")
    size_bytes: int
    modified_at: Timestamp


class TaskFilesResponse(ResponseModel):
    """One page of the files in the output folder of a task, by path."""

    task_id: str
    output_path: str = Field(description="as it was submitted")
    files: list[FileBody]
    next_cursor: str | None
