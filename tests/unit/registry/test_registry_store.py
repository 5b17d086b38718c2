"""Older stores get the registry's tables and keep what they hold; versions come back as they went in."""

import sqlite3

import pytest

from actors.learning.model_card import ModelCard
from actors.registry.files import ModelFiles
from actors.registry.records import Lineage, ModelVersion, ServedVersion, SetAlias
from actors.registry.store import RegistryStore
from actors.store import SCHEMA_VERSION, Store


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.sqlite"


def make_version(name="drones", **parts):
    served = ServedVersion(name, 0, "/state/w.pth", "0" * 64, "resnet18", ("a", "b"), 224, {"pipeline": "P1", "nfft": 1024})
    card = ModelCard(architecture="resnet18", classes=["a", "b"], num_classes=2, image_size=224, metrics={"loss": float("inf")})
    lineage = Lineage("t", {"train": "x"}, "w", {"epochs": 3, "deep": {"a": [1, None]}}, {"val_acc": (1.5, None)})
    return ModelVersion(served, 5.0, 10, card, lineage, **parts)


def test_a_store_of_version_three_gets_the_tables_and_keeps_what_it_holds(tmp_path, url):
    Store(url).write_note("a", "b")
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        for table in ("models", "model_versions", "model_aliases"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE meta SET value = '3' WHERE name = 'schema_version'")
    store = RegistryStore(url)
    assert (store.read_note("a"), store.read_note("schema_version")) == ("b", str(SCHEMA_VERSION))
    assert (store.read_models().revision, store.read_models().models) == (0, {})


def test_versions_come_back_as_they_went_in(url):
    store = RegistryStore(url)
    version = store.add_version(make_version(description="x", warnings=("w",)))
    other = store.add_version(make_version("birds"))
    store.set_alias(SetAlias("drones", "production", 1, None))
    table = RegistryStore(url).read_models()
    assert table.revision == 3
    assert table.models["drones"].versions == {1: version}
    assert (table.models["birds"].versions, table.models["drones"].aliases) == ({1: other}, {"production": 1})


def test_every_model_counts_its_versions_for_itself(url):
    store = RegistryStore(url)
    numbers = [store.add_version(make_version(name)).served.version for name in ("drones", "birds", "drones")]
    assert numbers == [1, 1, 2]


class TestFiles:
    def test_the_same_content_lies_there_once(self, tmp_path):
        files = ModelFiles(tmp_path / "models")
        for _ in range(2):
            with (tmp_path / "w").open("wb+") as source:
                source.write(b"weights")
                source.seek(0)
                files.keep(files.stage(source, ".PTH"))
        assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".pth"]

    def test_an_ending_that_could_do_harm_is_left_out(self, tmp_path):
        files = ModelFiles(tmp_path / "models")
        with (tmp_path / "w").open("wb+") as source:
            staged = files.stage(source, ".p h")
        assert staged.name == staged.sha256

    def test_what_is_coming_in_stays_when_others_go(self, tmp_path):
        files = ModelFiles(tmp_path / "models")
        with (tmp_path / "w").open("wb+") as source:
            staged = files.stage(source, ".pth")
        files.remove_all_but(())
        files.keep(staged)
        assert files.final_path(staged).is_file()
        files.remove_all_but({str(files.final_path(staged))})
        assert files.final_path(staged).is_file()
