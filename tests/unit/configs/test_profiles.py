"""The files in configs agree with the settings."""

from pathlib import Path

import pytest

from configs.settings import ENVIRONMENT_NAMES, Settings, load_settings

FOLDER = Path(__file__).parents[3] / "configs"


def test_the_example_names_every_setting_with_its_default():
    lines = [line[1:] for line in (FOLDER / "env.example").read_text().splitlines() if line.startswith("#") and line[1:2].isupper()]
    shown = dict(line.split("=", 1) for line in lines)
    assert set(shown) == set(ENVIRONMENT_NAMES)
    base = Path("/somewhere")
    assert load_settings(environ=shown, base=base) == load_settings(environ={}, base=base)


#: Serve's own, in Serve's words.
NO_PROFILES = {"serve.yaml"}


@pytest.mark.parametrize(
    "path", sorted(path for path in FOLDER.glob("*.yaml") if path.name not in NO_PROFILES), ids=lambda path: path.name
)
def test_every_profile_can_be_used(path):
    assert isinstance(load_settings(path, environ={}, base=Path("/somewhere")), Settings)
