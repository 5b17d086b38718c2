"""Settings keep the names of the origin, wherever they come from, and name what is wrong."""

from pathlib import Path

import pytest

from configs.settings import ENVIRONMENT_NAMES, Settings, SettingsError, load_settings

BASE = Path("/somewhere")
ORIGIN = {
    "APP_NAME": ("app_name", "Lab", "Lab"),
    "VERSION": ("version", "2.4.0", "2.4.0"),
    "ENVIRONMENT": ("environment", "development", "development"),
    "DEBUG": ("debug", "true", True),
    "HOST": ("host", "127.0.0.2", "127.0.0.2"),
    "PORT": ("port", "9000", 9000),
    "CORS_ORIGINS": ("cors_origins", '["http://a.example","http://b.example"]', ("http://a.example", "http://b.example")),
    "LOG_LEVEL": ("log_level", "debug", "DEBUG"),
    "LOG_FILE": ("log_file", "logs/app.log", "logs/app.log"),
    "MAX_TRAINING_CONCURRENT_GPU": ("max_training_concurrent_gpu", "2", 2),
    "MAX_INFERENCE_CONCURRENT_GPU": ("max_inference_concurrent_gpu", "5", 5),
    "MAX_TRAINING_CONCURRENT_CPU": ("max_training_concurrent_cpu", "3", 3),
    "MAX_INFERENCE_CONCURRENT_CPU": ("max_inference_concurrent_cpu", "6", 6),
    "MAX_PREPROCESSING_CONCURRENT_CPU": ("max_preprocessing_concurrent_cpu", "1", 1),
    "DEFAULT_TRAIN_PRIORITY": ("default_train_priority", "6", 6),
    "DEFAULT_INFERENCE_PRIORITY": ("default_inference_priority", "2", 2),
    "TASK_QUEUE_SIZE": ("task_queue_size", "7", 7),
    "ENABLE_GPU_SELECTION": ("enable_gpu_selection", "false", False),
}
DEFAULTS = {
    "max_training_concurrent_gpu": 1,
    "max_inference_concurrent_gpu": 3,
    "max_training_concurrent_cpu": 2,
    "max_inference_concurrent_cpu": 4,
    "max_preprocessing_concurrent_cpu": 2,
    "default_train_priority": 5,
    "default_inference_priority": 3,
    "task_queue_size": 100,
    "cors_origins": (),
}


def test_defaults_are_those_of_the_contract():
    settings = Settings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", ORIGIN)
def test_a_name_of_the_origin_is_read_from_the_environment_and_from_dotenv(tmp_path, name):
    field, text, value = ORIGIN[name]
    assert ENVIRONMENT_NAMES[name] == field
    assert getattr(load_settings(environ={name: text}, base=BASE), field) == value
    (tmp_path / ".env").write_text(f"{name}='{text}'\n")
    assert getattr(load_settings(environ={}, base=tmp_path), field) == value


def test_an_unknown_name_in_dotenv_is_a_warning(tmp_path):
    (tmp_path / ".env").write_text("REDIS_URL=x\nPORT=9000\n")
    with pytest.warns(UserWarning, match="REDIS_URL"):
        assert load_settings(environ={}, base=tmp_path).port == 9000


def test_an_unknown_key_in_a_profile_is_an_error(tmp_path):
    profile = tmp_path / "profile.yaml"
    profile.write_text("prot: 9000\n")
    with pytest.raises(SettingsError, match="prot"):
        load_settings(profile, environ={}, base=BASE)


@pytest.mark.parametrize("field", ["keep_tasks_days", "keep_logs_days", "keep_checkpoints_gb", "keep_checkpoints_days"])
@pytest.mark.parametrize("text", ["inf", "nan"])
def test_a_limit_of_retention_is_a_finite_number(field, text):
    with pytest.raises(SettingsError, match=field):
        load_settings(environ={f"RFUAV_{field.upper()}": text}, base=BASE)


@pytest.mark.parametrize(("name", "text"), [("PORT", "http"), ("LOG_LEVEL", "loud"), ("TASK_QUEUE_SIZE", "-1")])
def test_a_wrong_value_is_named(name, text):
    with pytest.raises(SettingsError, match=ENVIRONMENT_NAMES[name]):
        load_settings(environ={name: text}, base=BASE)
