"""The contract as data: every route that the client uses, with what goes in, what comes out, and whether repeating it does harm.

A route that is not here cannot be called. A test compares this table with the service's own OpenAPI document.
"""

from typing import Any, Final

from pydantic import TypeAdapter

from cluster.client.operation import Operation, Repeat
from serve_app.schemas.access import (
    AuditResponse,
    KeyListResponse,
    KeyRequest,
    KeyResponse,
    NewKeyResponse,
    StreamTicketRequest,
    StreamTicketResponse,
)
from serve_app.schemas.data import DataEntry, DataResponse, TaskFilesResponse
from serve_app.schemas.evaluate import EvaluationRequest, EvaluationResponse
from serve_app.schemas.inference import (
    BatchActionResponse,
    BatchInferenceRequest,
    BatchResponse,
    BatchStatusResponse,
    InferenceRequest,
)
from serve_app.schemas.models import (
    AliasRequest,
    ComparisonResponse,
    DeletedModelResponse,
    ModelListResponse,
    ModelResponse,
    ModelVersionResponse,
    RegisterRequest,
)
from serve_app.schemas.predict import PredictResponse
from serve_app.schemas.preprocessing import AugmentRequest, CropRequest, PreprocessingResponse, SpectrogramRequest, SplitRequest
from serve_app.schemas.resources import (
    CheckResponse,
    CpuResponse,
    GpuResponse,
    ResourceConfigRequest,
    ResourceConfigResponse,
    ResourceResponse,
)
from serve_app.schemas.results import ConfusionMatrixResponse, FileSummaryPage, MetricsHistoryResponse, PredictionPage
from serve_app.schemas.system import BriefHealthResponse, HealthResponse, InfoResponse, RootResponse
from serve_app.schemas.tasks import (
    LogRecord,
    TaskActionResponse,
    TaskHistoryResponse,
    TaskLeasesResponse,
    TaskListResponse,
    TaskResponse,
)
from serve_app.schemas.training import TrainingRequest
from serve_app.schemas.waiting import ExplainRequest, ExplainResponse, PriorityRequest, WhyResponse

#: Two models that may answer at one route.
AnyHealth = HealthResponse | BriefHealthResponse

_TASK: Final = TypeAdapter[TaskResponse](TaskResponse)
_ACTION: Final = TypeAdapter(TaskActionResponse)
_PREPROCESSING: Final = TypeAdapter(PreprocessingResponse)
_MODEL: Final = TypeAdapter(ModelResponse)
_VERSION: Final = TypeAdapter(ModelVersionResponse)
_DELETED: Final = TypeAdapter(DeletedModelResponse)
_ONCE: Final = Repeat.UNREACHED

# Submissions carry an id, so the service knows a repeated one again.
START_TRAINING: Final = Operation("POST", "/api/v2/training/start", _TASK, TypeAdapter(TrainingRequest))
START_INFERENCE: Final = Operation("POST", "/api/v2/inference/start", _TASK, TypeAdapter(InferenceRequest))
START_EVALUATION: Final = Operation("POST", "/api/v2/evaluate", _TASK, TypeAdapter(EvaluationRequest))
START_SPLIT: Final = Operation("POST", "/api/v2/preprocessing/split", _PREPROCESSING, TypeAdapter(SplitRequest))
START_AUGMENTATION: Final = Operation("POST", "/api/v2/preprocessing/augment", _PREPROCESSING, TypeAdapter(AugmentRequest))
START_CROP: Final = Operation("POST", "/api/v2/preprocessing/crop", _PREPROCESSING, TypeAdapter(CropRequest))
START_SPECTROGRAM: Final = Operation("POST", "/api/v2/preprocessing/spectrogram", _PREPROCESSING, TypeAdapter(SpectrogramRequest))
# A batch cannot be given ids; sent twice, it would be done twice.
START_BATCH: Final = Operation(
    "POST", "/api/v2/inference/batch", TypeAdapter(BatchResponse), TypeAdapter(BatchInferenceRequest), _ONCE
)
EXPLAIN: Final = Operation("POST", "/api/v2/tasks/explain", TypeAdapter(ExplainResponse), TypeAdapter[Any](ExplainRequest))

TASK: Final = Operation("GET", "/api/v2/tasks/{task_id}", _TASK)
TASKS: Final = Operation("GET", "/api/v2/tasks", TypeAdapter[TaskListResponse](TaskListResponse))
WHY: Final = Operation("GET", "/api/v2/tasks/{task_id}/why", TypeAdapter(WhyResponse))
HISTORY: Final = Operation("GET", "/api/v2/tasks/{task_id}/history", TypeAdapter(TaskHistoryResponse))
LEASES: Final = Operation("GET", "/api/v2/tasks/{task_id}/leases", TypeAdapter(TaskLeasesResponse))
LOG: Final = Operation("GET", "/api/v2/tasks/{task_id}/logs", TypeAdapter(list[LogRecord]))
FILES: Final = Operation("GET", "/api/v2/tasks/{task_id}/files", TypeAdapter(TaskFilesResponse))
FILE: Final[Operation[bytes]] = Operation("GET", "/api/v2/tasks/{task_id}/files/{path}")
CANCEL: Final = Operation("POST", "/api/v2/tasks/{task_id}/cancel", _ACTION, repeat=_ONCE)
KILL: Final = Operation("POST", "/api/v2/tasks/{task_id}/kill", _ACTION, repeat=_ONCE)
STOP: Final = Operation("POST", "/api/v2/training/{task_id}/stop", _ACTION, repeat=_ONCE)
DELETE: Final = Operation("DELETE", "/api/v2/tasks/{task_id}", _ACTION, repeat=_ONCE)
SET_PRIORITY: Final = Operation("POST", "/api/v2/tasks/{task_id}/priority", _ACTION, TypeAdapter(PriorityRequest), _ONCE)
STREAM_TICKET: Final = Operation(
    "POST", "/api/v2/stream-tickets", TypeAdapter(StreamTicketResponse), TypeAdapter(StreamTicketRequest)
)

METRICS: Final = Operation("GET", "/api/v2/training/{task_id}/metrics", TypeAdapter(MetricsHistoryResponse))
CONFUSION_MATRIX: Final = Operation("GET", "/api/v2/training/{task_id}/confusion_matrix", TypeAdapter(ConfusionMatrixResponse))
EVALUATION: Final = Operation("GET", "/api/v2/evaluate/{task_id}", TypeAdapter[EvaluationResponse](EvaluationResponse))
PREPROCESSING: Final = Operation("GET", "/api/v2/preprocessing/{task_id}", _PREPROCESSING)
RESULTS: Final = Operation("GET", "/api/v2/inference/{task_id}/results", TypeAdapter(PredictionPage))
FILE_RESULTS: Final = Operation("GET", "/api/v2/inference/{task_id}/results", TypeAdapter(FileSummaryPage))
BATCH: Final = Operation("GET", "/api/v2/batches/{batch_id}", TypeAdapter(BatchStatusResponse))
CANCEL_BATCH: Final = Operation("POST", "/api/v2/batches/{batch_id}/cancel", TypeAdapter(BatchActionResponse), repeat=_ONCE)

PREDICT: Final = Operation("POST", "/api/v2/predict", TypeAdapter(PredictResponse))
MODELS: Final = Operation("GET", "/api/v2/models", TypeAdapter(ModelListResponse))
MODEL: Final = Operation("GET", "/api/v2/models/{name}", _MODEL)
VERSION: Final = Operation("GET", "/api/v2/models/{name}/{version}", _VERSION)
REGISTER: Final = Operation("POST", "/api/v2/models", _VERSION, TypeAdapter(RegisterRequest), _ONCE)
DELETE_MODEL: Final = Operation("DELETE", "/api/v2/models/{name}", _DELETED, repeat=_ONCE)
DELETE_VERSION: Final = Operation("DELETE", "/api/v2/models/{name}/{version}", _DELETED, repeat=_ONCE)
PROMOTE: Final = Operation("PUT", "/api/v2/models/{name}/aliases/{alias}", _MODEL, TypeAdapter(AliasRequest))
REMOVE_ALIAS: Final = Operation("DELETE", "/api/v2/models/{name}/aliases/{alias}", _MODEL, repeat=_ONCE)
COMPARE: Final = Operation("GET", "/api/v2/comparison", TypeAdapter(ComparisonResponse))

RESOURCES: Final = Operation("GET", "/api/v2/resources", TypeAdapter(ResourceResponse))
GPUS: Final = Operation("GET", "/api/v2/resources/gpu", TypeAdapter(GpuResponse))
CPU: Final = Operation("GET", "/api/v2/resources/cpu", TypeAdapter(CpuResponse))
CHECK_BOOKS: Final = Operation("GET", "/api/v2/resources/check", TypeAdapter(CheckResponse))
SET_LIMITS: Final = Operation(
    "POST", "/api/v2/resources/config", TypeAdapter(ResourceConfigResponse), TypeAdapter(ResourceConfigRequest)
)

DATA: Final = Operation("GET", "/api/v2/data", TypeAdapter(DataResponse))
UPLOAD: Final = Operation("POST", "/api/v2/data", TypeAdapter(DataEntry), repeat=_ONCE)

ABOUT: Final = Operation("GET", "/", TypeAdapter(RootResponse))
HEALTH: Final = Operation("GET", "/api/v1/health", TypeAdapter[AnyHealth](AnyHealth))
INFO: Final = Operation("GET", "/api/v1/info", TypeAdapter(InfoResponse))
PROMETHEUS: Final[Operation[bytes]] = Operation("GET", "/metrics")
EVENTS: Final[Operation[bytes]] = Operation("GET", "/api/v2/events")
KEYS: Final = Operation("GET", "/api/v2/keys", TypeAdapter(KeyListResponse))
ADD_KEY: Final = Operation("POST", "/api/v2/keys", TypeAdapter(NewKeyResponse), TypeAdapter(KeyRequest), _ONCE)
REVOKE_KEY: Final = Operation("DELETE", "/api/v2/keys/{key_id}", TypeAdapter(KeyResponse), repeat=_ONCE)
AUDIT: Final = Operation("GET", "/api/v2/audit", TypeAdapter(AuditResponse))
