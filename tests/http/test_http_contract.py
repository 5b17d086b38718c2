"""The HTTP contract, row by row: each request, its status, and every field that its answer must hold, with its type.

The tables are the contract written down a second time, by hand; beside them each answer must be valid JSON of its model, strictly, and
of the schema that the served OpenAPI document gives for it.
"""

from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter

from actors.core.model import GIB
from actors.core.tasks import Progress, TaskFault
from actors.learning.evaluation_files import write_evaluation
from actors.learning.history_files import CONFUSION_JSON, METRICS_CSV, confusion_json, metrics_csv
from actors.learning.prediction_files import Prediction, failed_prediction, write_predictions
from serve_app.schemas import evaluate, inference, models, preprocessing, resources, results, system, tasks, waiting
from tests.fake_serving import make_version
from tests.fakes import make_line
from tests.http import bodies
from tests.http.test_http_evaluate import an_evaluation

pytestmark = pytest.mark.anyio

TEXT, WHOLE, NUMBER, YES_NO, MANY, BY_NAME = (str,), (int,), (int, float), (bool,), (list,), (dict,)
NONE = (type(None),)

ERROR = {"status": TEXT, "code": TEXT, "message": TEXT, "detail": TEXT + MANY, "timestamp": TEXT}
TASK = {
    **dict.fromkeys(("task_id", "task_type", "status", "message", "device", "created_at", "updated_at", "description"), TEXT),
    **dict.fromkeys(("progress", "priority", "attempts"), WHOLE),
    **dict.fromkeys(("current_epoch", "total_epochs", "queue_position", "batch_size"), WHOLE + NONE),
    **dict.fromkeys(("name", "model", "started_at", "finished_at", "batch_id"), TEXT + NONE),
    **dict.fromkeys(("latest_metrics", "error", "lease"), BY_NAME + NONE),
    "output_path": TEXT,
}
ACTION = {"status": TEXT, "message": TEXT, "task_id": TEXT}
COUNTS = {"training": WHOLE, "inference": WHOLE}
WAIT = {
    "position": WHOLE + NONE,
    "line_length": WHOLE + NONE,
    "missing": TEXT + NONE,
    "message": TEXT,
    "remedy": TEXT,
    "devices": MANY,
    "held_by": MANY,
    "estimated_start_at": TEXT + NONE,
    "estimated_wait_s": NUMBER + NONE,
}
GPUS = {"available": YES_NO, "count": WHOLE, "cuda_version": TEXT + NONE, "pytorch_version": TEXT, "devices": MANY}
GPU = {
    **dict.fromkeys(("device_name", "name", "compute_capability", "node"), TEXT),
    **dict.fromkeys(("total_memory_gb", "allocated_memory_gb", "cached_memory_gb", "free_memory_gb"), NUMBER),
    **dict.fromkeys(("temperature_c", "power_w"), NUMBER),
    "id": WHOLE,
    "utilization": WHOLE,
    "current_tasks": BY_NAME,
    "simulated": YES_NO,
    "processes": MANY,
}
FIGURES = """
    epoch total_epochs train_loss train_acc val_loss val_acc macro_f1 micro_f1 mAP top1_acc top3_acc top5_acc macro_precision
    macro_recall micro_precision micro_recall precision recall learning_rate best_acc f1_score
"""
METRICS = FIGURES.split()


@dataclass(frozen=True)
class Row:
    """One row of the contract.

    ``fields`` names every field of the answer with its types; ``inside`` the fields of parts of it, by where they are: keys and
    numbers with dots between.
    """

    method: str
    path: str
    model: Any
    fields: dict
    body: Any = None
    inside: dict = field(default_factory=dict)
    status: int = 200

    def __str__(self):
        return f"{self.method} {self.path}"


def start(kind, path):
    body = bodies.training() if kind == "training" else bodies.inference()
    return Row("POST", path, tasks.TaskResponse, TASK, body)


PREPROCESSING = {
    **dict.fromkeys(("task_id", "task_type", "status", "message", "input_path", "output_path", "created_at", "updated_at"), TEXT),
    "progress": WHOLE,
    "stats": BY_NAME + NONE,
}
BATCH = {"status": TEXT, "message": TEXT, "task_ids": MANY, "total": WHOLE, "batch_id": TEXT}
LEASE = {"device": TEXT, "gpu_fraction": NUMBER, "memory_gb": NUMBER, "granted_at": TEXT}
MODEL = {"name": TEXT, "default_version": WHOLE + NONE, "aliases": BY_NAME, "versions": MANY}
CARD = {
    **dict.fromkeys(("architecture", "normalization", "weights_file", "weights_sha256", "task_id"), TEXT),
    **dict.fromkeys(("torch_version", "project_version"), TEXT),
    **dict.fromkeys(("num_classes", "image_size", "format_version"), WHOLE),
    **dict.fromkeys(("dataset_hash", "split", "metrics", "serving"), BY_NAME),
    **dict.fromkeys(("recipe", "metrics_by_snr"), BY_NAME + NONE),
    "classes": MANY,
    "seed": WHOLE + NONE,
    "unknown_below": NUMBER + NONE,
}
VERSION = {
    **dict.fromkeys(("name", "description", "created_at", "sha256"), TEXT),
    **dict.fromkeys(("version", "size_bytes"), WHOLE),
    **dict.fromkeys(("aliases", "warnings"), MANY),
    **dict.fromkeys(("metrics", "lineage", "model_card"), BY_NAME),
}
LINEAGE = {"task_id": TEXT, "dataset_hash": BY_NAME, "parent_weights": TEXT, "parameters": BY_NAME}
SERVING = {"precision": TEXT, "optimise": YES_NO, "forced": YES_NO, "chosen": BY_NAME}
VERSION_PARTS = {"model_card": CARD, "model_card.serving": SERVING, "lineage": LINEAGE}
ROWS = [
    Row(
        "GET",
        "/",
        system.RootResponse,
        {"name": TEXT, "version": TEXT, "features": MANY, "routes": MANY, "ui": (str,), "docs": TEXT, "openapi": TEXT},
        inside={"routes.0": {"method": TEXT, "path": TEXT, "summary": TEXT, "deprecated": YES_NO}},
    ),
    Row(
        "GET",
        "/api/v1/health",
        system.HealthResponse,
        {
            **dict.fromkeys(("status", "timestamp", "version"), TEXT),
            **dict.fromkeys(("training_tasks", "inference_tasks", "active_log_streams"), WHOLE),
            **dict.fromkeys(("resource_status", "components"), BY_NAME),
        },
        inside={
            "resource_status": {"gpu_available": YES_NO, "gpu_count": WHOLE, "device_usage": BY_NAME, "limits": BY_NAME},
            "components": dict.fromkeys(("accountant", "supervisor", "log_hub", "predictor", "store"), BY_NAME),
            "components.store": {"state": TEXT, "latency_ms": NUMBER, "since": TEXT, "detail": TEXT},
        },
    ),
    Row(
        "GET",
        "/api/v1/info",
        system.InfoResponse,
        {
            **dict.fromkeys(("app_name", "version", "environment", "torch", "ray"), TEXT),
            "cuda": TEXT + NONE,
            "supported_models": MANY,
            "resource_limits": BY_NAME,
            "gpu_available": YES_NO,
            "simulated": YES_NO,
        },
    ),
    Row("GET", "/api/v2/models", models.ModelListResponse, {"models": MANY}, inside={"models.0": MODEL}),
    Row(
        "POST",
        "/api/v2/models",
        models.ModelVersionResponse,
        VERSION,
        {"name": "drones", "task_id": "running", "alias": "candidate"},
        inside=VERSION_PARTS,
    ),
    Row("GET", "/api/v2/models/drones", models.ModelResponse, MODEL),
    Row("GET", "/api/v2/models/drones/1", models.ModelVersionResponse, VERSION, inside=VERSION_PARTS),
    Row("PUT", "/api/v2/models/drones/aliases/production", models.ModelResponse, MODEL, {"version": 1}),
    Row("DELETE", "/api/v2/models/drones/aliases/old", models.ModelResponse, MODEL),
    Row(
        "DELETE",
        "/api/v2/models/drones/2",
        models.DeletedModelResponse,
        {"status": TEXT, "message": TEXT, "name": TEXT, "versions": MANY},
    ),
    Row(
        "GET",
        "/api/v2/comparison?model=drones@1&task=running",
        models.ComparisonResponse,
        {**dict.fromkeys(("columns", "differing", "epochs"), MANY), **dict.fromkeys(("parameters", "metrics", "curves"), BY_NAME)},
        inside={"columns.0": dict.fromkeys(("kind", "id", "status", "created_at", "description"), TEXT)},
    ),
    *(start("training", path) for path in ("/api/v2/training/start", "/api/v2/train", "/api/v1/train")),
    *(start("inference", path) for path in ("/api/v2/inference/start", "/api/v2/inference", "/api/v1/inference")),
    Row(
        "GET",
        "/api/v2/training/running",
        tasks.TaskResponse,
        TASK,
        inside={"latest_metrics": dict.fromkeys(METRICS, NUMBER), "lease": LEASE},
    ),
    Row("POST", "/api/v2/training/running/stop", tasks.TaskActionResponse, ACTION),
    Row(
        "GET",
        "/api/v2/training/running/metrics",
        results.MetricsHistoryResponse,
        {"task_id": TEXT, "epochs": WHOLE, "columns": BY_NAME},
        inside={"columns": dict.fromkeys(METRICS, MANY)},
    ),
    Row(
        "GET",
        "/api/v2/training/running/confusion_matrix",
        results.ConfusionMatrixResponse,
        {"task_id": TEXT, "epoch": WHOLE + NONE, "labels": MANY, "counts": MANY},
    ),
    *(
        Row("POST", f"/api/v2/preprocessing/{kind}", preprocessing.PreprocessingResponse, PREPROCESSING, make())
        for kind, make in (
            ("split", bodies.split),
            ("augment", bodies.augment),
            ("crop", bodies.crop),
            ("spectrogram", bodies.spectrogram),
        )
    ),
    Row("POST", "/api/v2/inference/batch", inference.BatchResponse, BATCH, bodies.batch()),
    Row("GET", "/api/v2/inference/inferred", tasks.TaskResponse, TASK),
    Row(
        "GET",
        "/api/v2/inference/inferred/results",
        results.PredictionPage,
        {"task_id": TEXT, "status": TEXT, "total": WHOLE, "predictions": MANY, "next_cursor": TEXT + NONE},
        inside={
            "predictions.0": {
                "file": TEXT,
                "segment": WHOLE + NONE,
                "class": TEXT + NONE,
                "confidence": NUMBER + NONE,
                "top": MANY,
                "error": TEXT + NONE,
                "start_s": NUMBER + NONE,
                "duration_s": NUMBER + NONE,
            },
            "predictions.0.top.0": {"class": TEXT, "confidence": NUMBER},
        },
    ),
    Row("POST", "/api/v2/evaluate", tasks.TaskResponse, TASK, bodies.evaluation(snr_db=[-10, 0])),
    Row(
        "GET",
        "/api/v2/evaluate/evaluated",
        evaluate.EvaluationResponse,
        TASK | {"result": BY_NAME + NONE},
        inside={
            "result": {
                **dict.fromkeys(("model", "kind"), TEXT),
                **dict.fromkeys(("format_version", "files", "failed", "seed"), WHOLE),
                **dict.fromkeys(("classes", "recipes", "scores"), MANY),
                "band_hz": NUMBER + NONE,
            },
            "result.scores.0": {
                **dict.fromkeys(("snr_db", "accuracy", "macro_f1", "recording_accuracy"), NUMBER + NONE),
                **dict.fromkeys(("frames", "recordings", "left_out"), WHOLE),
                "confusion": MANY,
            },
        },
    ),
    Row(
        "GET",
        "/api/v2/inference/inferred/results?level=file",
        results.FileSummaryPage,
        {"task_id": TEXT, "status": TEXT, "total": WHOLE, "files": MANY, "next_cursor": TEXT + NONE},
        inside={
            "files.0": {
                "file": TEXT,
                "class": TEXT + NONE,
                "confidence": NUMBER + NONE,
                "top": MANY,
                "frames": WHOLE,
                "seconds": NUMBER + NONE,
                "frames_per_class": BY_NAME,
                "error": TEXT + NONE,
            },
            "files.0.top.0": {"class": TEXT, "confidence": NUMBER},
        },
    ),
    Row(
        "GET",
        "/api/v2/batches/{batch_id}",
        inference.BatchStatusResponse,
        {
            **dict.fromkeys(("batch_id", "status", "message", "created_at", "updated_at"), TEXT),
            "progress": WHOLE,
            "total": WHOLE,
            "counts": BY_NAME,
            "task_ids": MANY,
        },
        inside={"counts": dict.fromkeys(("pending", "queued", "running", "completed", "failed", "cancelled"), WHOLE)},
    ),
    Row(
        "POST",
        "/api/v2/batches/{batch_id}/cancel",
        inference.BatchActionResponse,
        {"status": TEXT, "message": TEXT, "batch_id": TEXT, "task_ids": MANY},
    ),
    Row(
        "GET",
        "/api/v2/tasks?limit=3",
        tasks.TaskListResponse,
        {
            **dict.fromkeys(("training_tasks", "inference_tasks", "preprocessing_tasks"), MANY),
            **dict.fromkeys(("total_training", "total_inference", "total_preprocessing"), WHOLE),
            "next_cursor": TEXT + NONE,
        },
        inside={"inference_tasks.0": TASK},
    ),
    Row("GET", "/api/v2/tasks/failed", tasks.TaskResponse, TASK, inside={"error": {"code": TEXT, "message": TEXT, "hint": TEXT}}),
    Row("GET", "/api/v1/tasks/running", tasks.TaskResponse, TASK),
    Row("POST", "/api/v2/tasks/running/cancel", tasks.TaskActionResponse, ACTION),
    Row("POST", "/api/v2/tasks/running/kill", tasks.TaskActionResponse, ACTION),
    Row("DELETE", "/api/v2/tasks/failed", tasks.TaskActionResponse, ACTION),
    Row("POST", "/api/v2/tasks/waiting/priority", tasks.TaskActionResponse, ACTION, {"priority": 1}),
    Row(
        "POST",
        "/api/v2/tasks/explain",
        waiting.ExplainResponse,
        WAIT | {"would_start": YES_NO},
        {"task_type": "training", "request": bodies.training()},
    ),
    Row("GET", "/api/v2/tasks/waiting/why", waiting.WhyResponse, WAIT | {"task_id": TEXT, "status": TEXT}),
    Row(
        "GET",
        "/api/v2/tasks/running/history",
        tasks.TaskHistoryResponse,
        {"task_id": TEXT, "history": MANY},
        inside={"history.1": {"at": TEXT, "before": TEXT, "after": TEXT, "cause": TEXT}},
    ),
    *(
        Row(
            "GET",
            f"{path}/running/logs?format=json",
            list[tasks.LogRecord],
            {},
            inside={"0": {"timestamp": TEXT, "level": TEXT, "message": TEXT}},
        )
        for path in ("/api/v2/tasks", "/api/v2/training", "/api/v2/train", "/api/v1/train")
    ),
    Row(
        "GET",
        "/api/v2/resources",
        resources.ResourceResponse,
        {
            **dict.fromkeys(("device_usage", "active_tasks", "limits", "gpu_info", "gpu_memory_info", "queue"), BY_NAME),
            "devices": MANY,
        },
        inside={
            "device_usage.cuda": COUNTS,
            "limits.cuda:1": COUNTS,
            "gpu_info": GPUS,
            "gpu_memory_info.GPU_0": {"total_gb": NUMBER, "allocated_gb": NUMBER, "free_gb": NUMBER},
            "queue": {"length": WHOLE, "oldest_wait_s": NUMBER},
        },
    ),
    Row("GET", "/api/v2/resources/gpu", resources.GpuResponse, GPUS, inside={"devices.0": GPU, "devices.0.current_tasks": COUNTS}),
    Row(
        "GET",
        "/api/v2/resources/cpu",
        resources.CpuResponse,
        {
            **dict.fromkeys(("percent", "freq_mhz", "memory_percent"), NUMBER),
            **dict.fromkeys(("cores", "physical_cores"), WHOLE),
            "per_cpu_percent": MANY,
            "load_avg": BY_NAME,
        },
        inside={"load_avg": dict.fromkeys(("1", "5", "15"), NUMBER)},
    ),
    Row("GET", "/api/v2/resources/check", resources.CheckResponse, {"agrees": YES_NO, "differences": MANY, "checked_at": TEXT}),
    Row(
        "POST",
        "/api/v2/resources/config",
        resources.ResourceConfigResponse,
        {"status": TEXT, "message": TEXT, "current_config": BY_NAME},
        {"max_concurrent": {"cuda": {"training": 2}, "cpu": {"inference": 5}}},
        inside={"current_config.cuda:0": COUNTS},
    ),
    *(
        Row(method, path, tasks.ErrorResponse, ERROR, body, status=status)
        for method, path, body, status in (
            ("GET", "/api/v2/tasks/nobody", None, 404),
            ("GET", "/api/v2/batches/none", None, 404),
            ("GET", "/api/v2/models/nobody", None, 404),
            ("DELETE", "/api/v2/models/drones/1", None, 409),
            ("PUT", "/api/v2/models/drones/aliases/3", {"version": 1}, 422),
            ("POST", "/api/v2/batches/.../cancel", None, 404),
            ("POST", "/api/v2/tasks/failed/cancel", None, 404),
            ("POST", "/api/v2/tasks/running/priority", {"priority": 1}, 409),
            ("POST", "/api/v2/training/start", bodies.training(task_id="running"), 409),
            ("POST", "/api/v2/training/start", bodies.training(device="banana"), 422),
            ("POST", "/api/v2/training/start", bodies.training(unheard_of=1), 422),
            ("GET", "/api/v2/inference/inferred/results?limit=0", None, 422),
            ("GET", "/api/v2/tasks?cursor=running", None, 422),
        )
    ),
]


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"data_roots": (tmp_path,)})


@pytest.fixture
async def batch_id(client, tasks, logs, models, tmp_path):
    """A world with something to say in every row; the id of its batch."""
    await models.put(make_version(version=1), make_version(version=2), aliases={"old": 1})
    for task_id in ("running", "failed", "waiting"):
        await client.post("/api/v2/training/start", json=bodies.training(task_id=task_id, name=task_id))
    await client.post("/api/v2/inference/start", json=bodies.inference(task_id="inferred"))
    figures = dict.fromkeys(METRICS, 0.5) | {"epoch": 1, "total_epochs": 2}
    write_history(tmp_path / "out/running", figures)
    (tmp_path / "results/inferred").mkdir(parents=True)
    found = Prediction("a.png", "fpv", 90.0, (("fpv", 90.0), ("other", 10.0)))
    write_predictions(tmp_path / "results/inferred", [found, failed_prediction("b.png", "no picture")])
    await client.post("/api/v2/evaluate", json=bodies.evaluation(task_id="evaluated"))
    (tmp_path / "results/evaluated").mkdir(parents=True)
    write_evaluation(tmp_path / "results/evaluated", an_evaluation())
    tasks.grant("running", "cuda:0", memory_bytes=2 * GIB)
    tasks.progress("running", Progress(50, "epoch 1 of 2", 1, 2, figures))
    for task_id, outcome in (("failed", "failed"), ("inferred", "completed"), ("evaluated", "completed")):
        tasks.grant(task_id, "cuda:1")
        tasks.finish(task_id, outcome, fault=TaskFault("disk_full", "no space left") if outcome == "failed" else None)
    tasks.queue("waiting", 1)
    await logs.write("running", make_line("epoch 1", stage="epoch_end", metrics=figures, status="running", progress=50))
    return (await client.post("/api/v2/inference/batch", json=bodies.batch())).json()["batch_id"]


def write_history(folder, figures):
    folder.mkdir(parents=True)
    (folder / METRICS_CSV).write_text(metrics_csv([figures]))
    (folder / CONFUSION_JSON).write_text(confusion_json([[3, 1], [0, 4]], ["fpv", "other"], 1))


def part(value, where):
    """A part of an answer: ``a.0.b``."""
    for step in where.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def check_fields(found, wanted):
    assert set(found) == set(wanted)
    assert {name: type(value) for name, value in found.items() if type(value) not in wanted[name]} == {}


def schema_of(document, row, status):
    """What the document says of a row's answer: the schema, or None where it names no such operation or status."""
    path = row.path.partition("?")[0]
    for template, operations in document["paths"].items():
        names = zip(template.split("/"), path.split("/"), strict=False)
        is_same = template.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in names)
        if is_same and row.method.lower() in operations:
            return operations[row.method.lower()]["responses"][str(status)]["content"]["application/json"]["schema"]
    raise AssertionError(f"{row} is not in the document")


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_the_answer_is_as_the_contract_has_it(client, built_app, batch_id, row):
    answer = await client.request(row.method, row.path.format(batch_id=batch_id), json=row.body)
    assert answer.status_code == row.status, answer.text
    TypeAdapter(row.model).validate_json(answer.content, strict=True)
    body = answer.json()
    if row.fields:
        check_fields(body, row.fields)
    for where, wanted in row.inside.items():
        if isinstance(body, list):
            assert set(part(body, where)) >= set(wanted)
        else:
            check_fields(part(body, where), wanted)
    document = built_app.openapi()
    schema = schema_of(document, row, row.status) | {"components": document["components"]}
    jsonschema_rs.validator_for(schema).validate(body)
