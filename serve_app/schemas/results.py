"""What tasks have found out, as answers: the history of a training, its confusion matrix, the predictions of an inference."""

from collections.abc import Mapping

from pydantic import Field

from actors.core.tasks import TaskState
from serve_app.schemas.fields import ResponseModel


class MetricsHistoryResponse(ResponseModel):
    """The metrics of every epoch as columns of equal length, oldest epoch first."""

    task_id: str
    epochs: int = Field(ge=0, description="length of each column; 0 while no epoch has ended")
    columns: Mapping[str, list[int | float | None]] = Field(description="by the names of latest_metrics; null for no finite figure")


class ConfusionMatrixResponse(ResponseModel):
    """How the validation pictures of the last epoch were taken for each other; empty while no epoch has ended."""

    task_id: str
    epoch: int | None
    labels: list[str]
    counts: list[list[int]] = Field(description="a row for each true class, in it a column for each predicted one")


class ClassConfidence(ResponseModel):
    """One of the best classes."""

    name: str = Field(alias="class")
    confidence: float = Field(ge=0, le=100, description="percent")


class PredictionBody(ResponseModel):
    """What was found in one file, or one segment of it."""

    file: str = Field(description="path within the source")
    segment: int | None = Field(description="part of a recording; null for a picture")
    class_name: str | None = Field(alias="class", description="null where there is an error")
    confidence: float | None = Field(ge=0, le=100, description="percent")
    top: list[ClassConfidence] = Field(description="the best classes, best first; of a job five")
    error: str | None = Field(description="why there is no prediction")
    start_s: float | None = Field(None, ge=0, description="where the segment begins in its recording; null for a picture")
    duration_s: float | None = Field(None, ge=0, description="how long the segment is; null for a picture")


class FileSummaryBody(ResponseModel):
    """What was found in one file as a whole."""

    file: str = Field(description="path within the source")
    class_name: str | None = Field(
        alias="class", description="of the greatest mean probability over the frames; null if there is none"
    )
    confidence: float | None = Field(ge=0, le=100, description="that mean, in percent")
    top: list[ClassConfidence] = Field(description="the best classes by mean probability, best first; of a job five")
    frames: int = Field(ge=0, description="frames that were predicted; 1 for a picture")
    seconds: float | None = Field(ge=0, description="of the recording; null for a picture")
    frames_per_class: dict[str, int] = Field(description="of how many frames each class was the best")
    error: str | None = Field(description="why all or some frames have no prediction")


class FileSummaryPage(ResponseModel):
    """The files of an inference job, a row for each; there are none before it has ended."""

    task_id: str
    status: TaskState
    total: int = Field(ge=0, description="files of all pages")
    files: list[FileSummaryBody]
    next_cursor: str | None = Field(description="null on the last page")


class PredictionPage(ResponseModel):
    """Some predictions of an inference, in the order of its files; there are none before it has ended."""

    task_id: str
    status: TaskState
    total: int = Field(ge=0, description="predictions of all pages")
    predictions: list[PredictionBody]
    next_cursor: str | None = Field(description="null on the last page")
