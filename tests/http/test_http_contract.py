"""The HTTP contract of tasks, devices and the service itself, row by row: each request, its status, and every field of its answer.

The tables are the contract written down a second time, by hand; beside them each answer must be valid JSON of its model, strictly, and
of the schema that the served OpenAPI document gives for it.
"""

import pytest

from actors.core.model import GIB
from actors.core.tasks import Progress, TaskFault
from actors.learning.evaluation_files import write_evaluation
from actors.learning.prediction_files import Prediction, failed_prediction, write_predictions
from serve_app.schemas import evaluate, inference, preprocessing, resources, results, system, tasks, waiting
from tests.fakes import make_line
from tests.http import bodies
from tests.http.contract_rows import (
    BY_NAME,
    ERROR,
    MANY,
    METRICS,
    NONE,
    NUMBER,
    TEXT,
    WHOLE,
    YES_NO,
    Row,
    check_answer,
    write_history,
)
from tests.http.test_http_evaluate import an_evaluation

pytestmark = pytest.mark.anyio

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
            "components.store": {
                **dict.fromkeys(("state", "since", "detail"), TEXT),
                "latency_ms": NUMBER,
                "restarts": WHOLE,
                "last_started_at": TEXT + NONE,
            },
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
    Row("GET", "/api/v2/tasks/running/leases", tasks.TaskLeasesResponse, {"task_id": TEXT, "leases": MANY}),
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
async def batch_id(client, tasks, logs, tmp_path):
    """A world with something to say in every row; the id of its batch."""
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


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_the_answer_is_as_the_contract_has_it(client, built_app, batch_id, row):
    await check_answer(client, built_app, row, batch_id=batch_id)
