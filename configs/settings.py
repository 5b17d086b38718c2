"""Every setting of the service, from one place.

Sources, later ones win: defaults here, the YAML profile given with ``--config``, ``.env`` in the working folder, the
environment, the command line. The environment names without a prefix are the origin's; those of this project begin with
``RFUAV_``. Unknown keys in YAML are an error, unknown names in ``.env`` a warning. Nothing else reads the environment for settings.
"""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

#: Environment name -> field. The first group keeps the names of the origin.
ENVIRONMENT_NAMES: Mapping[str, str] = {
    "APP_NAME": "app_name",
    "VERSION": "version",
    "ENVIRONMENT": "environment",
    "DEBUG": "debug",
    "HOST": "host",
    "PORT": "port",
    "CORS_ORIGINS": "cors_origins",
    "LOG_LEVEL": "log_level",
    "LOG_FILE": "log_file",
    "MAX_TRAINING_CONCURRENT_GPU": "max_training_concurrent_gpu",
    "MAX_INFERENCE_CONCURRENT_GPU": "max_inference_concurrent_gpu",
    "MAX_TRAINING_CONCURRENT_CPU": "max_training_concurrent_cpu",
    "MAX_INFERENCE_CONCURRENT_CPU": "max_inference_concurrent_cpu",
    "MAX_PREPROCESSING_CONCURRENT_CPU": "max_preprocessing_concurrent_cpu",
    "DEFAULT_TRAIN_PRIORITY": "default_train_priority",
    "DEFAULT_INFERENCE_PRIORITY": "default_inference_priority",
    "TASK_QUEUE_SIZE": "task_queue_size",
    "ENABLE_GPU_SELECTION": "enable_gpu_selection",
    "RFUAV_STATE_DIR": "state_dir",
    "RFUAV_DATA_ROOTS": "data_roots",
    "RFUAV_NODES": "nodes",
    "RFUAV_SIMULATE_GPUS": "simulate_gpus",
    "RFUAV_GPU_FALLBACK": "gpu_fallback",
    "RFUAV_PATIENCE_S": "patience_s",
    "RFUAV_STORE_URL": "store_url",
    "RFUAV_TORCH_THREADS": "torch_threads",
    "RFUAV_CHECKPOINT_EVERY_S": "checkpoint_every_s",
    "RFUAV_STOP_GRACE_S": "stop_grace_s",
    "RFUAV_LEASE_TTL_S": "lease_ttl_s",
    "RFUAV_HEARTBEAT_S": "heartbeat_s",
    "RFUAV_HOST_NAMES": "host_names",
    "RFUAV_AUDIT_ENTRIES": "audit_entries",
    "RFUAV_KEEP_TASKS": "keep_tasks",
    "RFUAV_KEEP_TASKS_DAYS": "keep_tasks_days",
    "RFUAV_KEEP_LOGS_MB": "keep_logs_mb",
    "RFUAV_KEEP_LOGS_DAYS": "keep_logs_days",
    "RFUAV_MAX_LOG_MB": "max_log_mb",
    "RFUAV_KEEP_CHECKPOINTS_GB": "keep_checkpoints_gb",
    "RFUAV_KEEP_CHECKPOINTS_DAYS": "keep_checkpoints_days",
    "RFUAV_PICTURE_CACHE_MB": "picture_cache_mb",
    "RFUAV_MAX_UPLOAD_MB": "max_upload_mb",
    "RFUAV_MAX_LOG_STREAMS": "max_log_streams",
    "RFUAV_SERVING_MIN_REPLICAS": "serving_min_replicas",
    "RFUAV_SERVING_MAX_REPLICAS": "serving_max_replicas",
    "RFUAV_SERVING_UP_DELAY_S": "serving_up_delay_s",
    "RFUAV_SERVING_DOWN_DELAY_S": "serving_down_delay_s",
    "RFUAV_SERVING_TARGET_ONGOING": "serving_target_ongoing",
    "RFUAV_SERVING_MAX_ONGOING": "serving_max_ongoing",
    "RFUAV_SERVING_MAX_QUEUED": "serving_max_queued",
    "RFUAV_SERVING_MAX_BATCH": "serving_max_batch",
    "RFUAV_SERVING_BATCH_WAIT_MS": "serving_batch_wait_ms",
    "RFUAV_SERVING_MEMORY_GB": "serving_memory_gb",
    "RFUAV_SERVING_PRECISION": "serving_precision",
    "RFUAV_SERVING_OPTIMISE": "serving_optimise",
    "RFUAV_PREDICTION_CACHE_MB": "prediction_cache_mb",
    "RFUAV_MAX_PREDICT_MB": "max_predict_mb",
    "RFUAV_MAX_PREDICT_FRAMES": "max_predict_frames",
}


class SettingsError(ValueError):
    """Settings that cannot be used; the text names the setting, the value and the remedy."""


class Settings(BaseModel):
    """All settings, validated and frozen. A field's description is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    app_name: str = Field("RFUAV Model Service", description="name in /info and on the page")
    version: str = Field("3.0.0", description="version in /info and /health")
    environment: str = Field("production", description="a word for /info")
    debug: bool = Field(default=False, description="accepted for the origin's sake; no effect")
    host: str = Field("127.0.0.1", description="address that HTTP listens on")
    port: int = Field(8000, ge=1, le=65534, description="port that HTTP listens on")
    cors_origins: tuple[str, ...] = Field((), description="origins whose pages may call the service; none by default")
    host_names: tuple[str, ...] = Field((), description="further names that clients may use for this machine; loopback ones are")
    audit_entries: int = Field(100_000, ge=100, le=100_000_000, description="most entries of the audit log; the oldest go")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="level of the service's own logs")
    log_file: str = Field("", description="accepted for the origin's sake; logs are in STATE/logs")
    max_training_concurrent_gpu: int = Field(1, ge=0, le=64, description="most trainings at once on each GPU")
    max_inference_concurrent_gpu: int = Field(3, ge=0, le=64, description="most inferences at once on each GPU")
    max_training_concurrent_cpu: int = Field(2, ge=0, le=64, description="most trainings at once on each CPU device")
    max_inference_concurrent_cpu: int = Field(4, ge=0, le=64, description="most inferences at once on each CPU device")
    max_preprocessing_concurrent_cpu: int = Field(2, ge=0, le=64, description="most preprocessing tasks at once on each CPU device")
    default_train_priority: int = Field(5, ge=1, le=10, description="priority of a training that names none; 1 is the most urgent")
    default_inference_priority: int = Field(3, ge=1, le=10, description="priority of an inference that names none")
    task_queue_size: int = Field(100, ge=1, le=1_000_000, description="most waiting tasks; beyond, submissions get 429")
    enable_gpu_selection: bool = Field(default=True, description="false: cuda:N is treated as cuda")
    gpu_fallback: Literal["none", "cpu"] = Field("none", description="cpu: a cuda request runs on the CPU where there is no GPU")
    nodes: Literal["one", "several"] = Field(
        "one", description="several: other machines may join; HTTP comes through HAProxy, and API keys are always needed"
    )
    simulate_gpus: int = Field(0, ge=0, le=64, description="logical GPUs of 24 GB that compute on the CPU")
    state_dir: Path = Field(Path("var"), description="folder of the store, logs and run files")
    data_roots: tuple[Path, ...] = Field((Path(),), min_length=1, description="folders that requests may read and write")
    store_url: str = Field("", description="SQLAlchemy URL of the durable store; empty: SQLite in the state folder")
    patience_s: float = Field(600.0, gt=0, description="waiting time that one step of priority is worth; inf: strict priority")
    lease_ttl_s: float = Field(30.0, ge=1, description="a lease that is not renewed for so long is taken back")
    heartbeat_s: float = Field(5.0, gt=0, description="how often a worker renews its lease")
    checkpoint_every_s: float = Field(
        180.0, gt=0, description="how often a training writes a checkpoint within an epoch; at the end of each it always does"
    )
    stop_grace_s: float = Field(30.0, ge=0, description="how long a cancelled attempt may take to stop before it is killed")
    start_deadline_s: float = Field(120.0, gt=0, description="how long an attempt's process may take to start")
    torch_threads: int = Field(0, ge=0, le=1024, description="CPU threads of one attempt; 0: the cores of its device")
    keep_tasks: int = Field(50_000, ge=0, description="most ended tasks in the records; the oldest go; 0: all stay")
    keep_tasks_days: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="days after its end in which a task stays in the records; 0: always"
    )
    keep_logs_mb: int = Field(4096, ge=0, description="megabytes of all logs; those of the oldest ended tasks go; 0: all stay")
    keep_logs_days: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="days after a task's end in which its log stays; 0: as long as the task"
    )
    max_log_mb: int = Field(
        256, ge=0, description="megabytes of one log; beyond, only its warnings and errors are kept; 0: everything is"
    )
    keep_checkpoints_gb: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="gigabytes of the checkpoints of ended trainings; the oldest go, weights never; 0: all stay",
    )
    keep_checkpoints_days: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="days after a training's end in which its checkpoints stay; 0: always"
    )
    picture_cache_mb: int = Field(
        2048, ge=1, description="memory in MB for decoded pictures of one training; beyond, a file is used"
    )
    max_upload_mb: int = Field(2048, ge=1, description="megabytes that one uploaded file may have")
    max_log_streams: int = Field(2000, ge=1, le=4000, description="most open log streams of one key, or of all callers without one")

    serving_min_replicas: int = Field(1, ge=1, le=64, description="replicas of the predictor that are always up")
    serving_max_replicas: int = Field(0, ge=0, le=512, description="most replicas; 0: as many as the serving share carries")
    serving_up_delay_s: float = Field(3.0, ge=0, description="how long load must last before another replica is started")
    serving_down_delay_s: float = Field(300.0, ge=0, description="how long load must be away before a replica is ended")
    serving_target_ongoing: float = Field(
        48.0, gt=0, description="requests that each replica should have at once; more start another"
    )
    serving_max_ongoing: int = Field(128, ge=1, le=10_000, description="most requests in one replica at once")
    serving_max_queued: int = Field(
        128, ge=0, le=100_000, description="most requests that wait for a replica; beyond, they get 429"
    )
    serving_max_batch: int = Field(8, ge=1, le=1024, description="most pictures or frames of one forward pass")
    serving_batch_wait_ms: float = Field(0.0, ge=0, le=1000, description="how long an idle replica waits for a batch to fill")
    serving_memory_gb: float = Field(
        0.0, ge=0, description="memory in GB of one replica's models; 0: its part of the GPU, or 2 on a CPU"
    )
    serving_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="what versions compute in that do not name it themselves; auto: bfloat16 where it is fast and agrees"
    )
    serving_optimise: bool = Field(
        default=True, description="fold batch norm, freeze the graph and use channels_last when a model is loaded"
    )
    prediction_cache_mb: int = Field(
        0, ge=0, description="memory in MB for answers to contents that were sent before; 0: none are kept"
    )
    max_predict_mb: int = Field(256, ge=1, description="megabytes that the body of one online prediction may have")
    max_predict_frames: int = Field(256, ge=1, le=10_000, description="most frames and pictures of one online prediction")

    @field_validator("cors_origins", "host_names", "data_roots", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        """Accept ``a,b`` (environment), a single value, and a list."""
        if isinstance(value, str):
            text = value.strip().removeprefix("[").removesuffix("]")
            return tuple(part.strip().strip("\"'") for part in text.split(",") if part.strip())
        return (value,) if isinstance(value, Path) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        """Accept ``info`` for ``INFO``, as logging itself does in many programs."""
        return value.upper() if isinstance(value, str) else value

    @field_validator("heartbeat_s")
    @classmethod
    def _beat_before_the_end(cls, value: float, info: Any) -> float:
        if value * 2 > info.data.get("lease_ttl_s", 30.0):
            raise ValueError("must be at most half of lease_ttl_s, or every hiccup loses a lease")
        return value

    def resolved(self, base: Path) -> "Settings":
        """The same settings with every folder absolute, relative ones taken from ``base``."""
        roots = tuple((base / root).resolve() for root in self.data_roots)
        return self.model_copy(update={"state_dir": (base / self.state_dir).resolve(), "data_roots": roots})

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the durable store."""
        return self.store_url or f"sqlite:///{self.state_dir / 'store.sqlite'}"


def load_settings(
    config: Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    base: Path | None = None,
) -> Settings:
    """Read the settings from all sources.

    Args:
        config: the YAML profile, or None.
        overrides: values from the command line by field name; None values are ignored.
        environ: the environment; the process's own by default.
        base: the folder that relative folders and ``.env`` are taken from; the working folder by default.

    Raises:
        SettingsError: names the setting, the value and what would be accepted.
    """
    base = base or Path.cwd()
    values: dict[str, Any] = _read_profile(config) if config else {}
    values |= _read_dotenv(base / ".env")
    values |= _pick(environ if environ is not None else os.environ)
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**values).resolved(base)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']} (given: {each['input']!r})" for each in error.errors()]
        raise SettingsError("; ".join(lines)) from None


def _read_profile(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"config file {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"config file {path} is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"config file {path} must hold `name: value` lines")
    return content


def _read_dotenv(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = {name: value for name, value in dotenv_values(path).items() if value is not None}
    for name in sorted(set(found) - set(ENVIRONMENT_NAMES)):
        warnings.warn(f"{path}: unknown setting {name} is ignored", stacklevel=3)
    return _pick(found)


def _pick(environ: Mapping[str, str]) -> dict[str, Any]:
    return {field: environ[name] for name, field in ENVIRONMENT_NAMES.items() if environ.get(name)}
