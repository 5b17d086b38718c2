"""Whatever the registry is asked, the store, the files and those who watch agree with the answer."""

import asyncio
import shutil
import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from actors.core.errors import (
    AliasMovedError,
    ModelInUseError,
    ModelNotFoundError,
    StoreUnavailableError,
    SubmissionError,
    TaskNotFoundError,
)
from actors.core.tasks import TaskState
from actors.files.atomic import output_error
from actors.files.disk_room import RESERVE_BYTES
from actors.learning.classify_config import load_classify_config
from actors.registry.records import (
    DeleteVersion,
    LoadReport,
    NoteLoad,
    Precision,
    RegisterModel,
    RemoveAlias,
    ServingWish,
    SetAlias,
    WatchModels,
)
from tests.unit.registry.conftest import CLASSES, SIDE, make_card

pytestmark = pytest.mark.anyio
REPORT = LoadReport("cpu", Precision.FLOAT32, True, "the processor has no bfloat16", float("nan"), 1.5, 45_000_000, 5.0)


async def table_of(registry):
    return await registry.answer(WatchModels())


def content_of(path):
    return Path(path).read_bytes()


async def register(registry, wish):
    return await registry.answer(wish)


class TestRegistrationFromFiles:
    async def test_all_that_a_replica_needs_is_told_and_kept_outside_the_data_roots(self, world, registry):
        version = await register(registry, world.write_files(content=b"some weights"))
        served = version.served
        assert (served.key, served.architecture, served.class_names) == (("drones", 1), "resnet18", tuple(CLASSES))
        assert (served.image_size, served.recipe, served.unknown_below, served.wish) == (SIDE, None, None, ServingWish())
        assert served.weights_sha256 == sha256(b"some weights").hexdigest()
        assert content_of(served.weights_path) == b"some weights"
        assert Path(served.weights_path).name == f"{served.weights_sha256}.pth"
        assert world.settings.state_dir in Path(served.weights_path).parents
        assert (version.size_bytes, version.created_at) == (12, 1_750_000_000.0)
        assert (version.card.weights_sha256, version.card.classes) == (served.weights_sha256, CLASSES)

    async def test_the_users_files_are_not_needed_any_more(self, world, registry):
        wish = world.write_files()
        version = await register(registry, wish)
        (world.root / wish.weight_path).unlink()
        assert (await table_of(world.open_registry())).models["drones"].versions == {1: version}
        assert content_of(version.served.weights_path) == b"weights"

    async def test_a_card_about_these_weights_brings_metrics_and_recipe(self, world, registry):
        card = make_card(recipe={"pipeline": "P1"})
        version = await register(registry, world.write_files(card=card))
        assert (version.card.metrics, version.served.recipe) == ({"val_acc": 91.5}, {"pipeline": "P1"})
        assert version.lineage.dataset_hash == card.dataset_hash

    async def test_a_card_of_other_weights_counts_for_nothing(self, world, registry):
        card = make_card(b"others", recipe={"pipeline": "P1"})
        version = await register(registry, world.write_files(card=card))
        assert (version.card.metrics, version.served.recipe) == ({}, None)

    async def test_the_configuration_goes_before_the_card_and_the_difference_is_told(self, world, registry):
        wish = world.write_files(card=make_card(), class_names={"X": 0, "Y": 1, "Z": 2})
        version = await register(registry, wish)
        assert version.served.class_names == ("X", "Y", "Z")
        assert version.card.classes == ["X", "Y", "Z"]
        assert any("class_names differs" in warning for warning in version.warnings)

    async def test_the_kept_configuration_says_the_same_as_the_version(self, world, registry):
        version = await register(registry, world.write_files(class_names=["b", "a", "c"], recipe={"pipeline": "P1"}))
        config = load_classify_config(version.config_path)
        assert (config.class_names, config.image_size, config.recipe) == (("a", "b", "c"), SIDE, {"pipeline": "P1"})

    async def test_wishes_of_the_request_are_kept(self, world, registry):
        wish = replace(
            world.write_files(), unknown_below=0.6, wish=ServingWish(Precision.FLOAT32, optimise=False), description="field test"
        )
        version = await register(registry, wish)
        assert (version.served.unknown_below, version.served.wish) == (0.6, wish.wish)
        assert version.description == "field test"

    @pytest.mark.parametrize(
        ("wish", "code", "field"),
        [
            (RegisterModel("drones", cfg_path="none.yaml", weight_path="w/best_model.pth"), "path_not_found", "cfg_path"),
            (RegisterModel("drones", cfg_path="w/config.yaml", weight_path="none.pth"), "path_not_found", "weight_path"),
            (RegisterModel("drones", cfg_path="w/config.yaml", weight_path="/etc/passwd"), "path_forbidden", "weight_path"),
            (RegisterModel("drones", cfg_path="w/best_model.pth", weight_path="w/best_model.pth"), "config_invalid", "cfg_path"),
            (RegisterModel("../up", cfg_path="w/config.yaml", weight_path="w/best_model.pth"), "invalid_name", "name"),
        ],
        ids=lambda each: getattr(each, "weight_path", None),
    )
    async def test_what_is_wrong_names_its_field_and_leaves_nothing(self, world, registry, wish, code, field):
        world.write_files("w")
        with pytest.raises(SubmissionError) as caught:
            await register(registry, wish)
        assert (caught.value.code, caught.value.field) == (code, field)
        assert (await table_of(registry)).models == {}
        assert not list((world.settings.state_dir / "models").glob("*"))

    async def test_weights_that_would_take_the_disks_reserve_are_refused_before_they_are_copied(self, world, registry, monkeypatch):
        free = shutil.disk_usage(world.root)
        wish = world.write_files(content=bytes(1_000_000))
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: free._replace(free=RESERVE_BYTES + 999_999))
        with pytest.raises(StoreUnavailableError, match=r"no room is left for a file of 1000000 bytes.*[Dd]elete versions"):
            await register(registry, wish)
        assert (await table_of(registry)).models == {}
        assert world.kept_files() == []
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: free._replace(free=RESERVE_BYTES + 1_000_000))
        assert (await register(registry, wish)).size_bytes == 1_000_000

    async def test_registrations_are_taken_in_one_by_one_and_hold_up_nothing_else(self, world, registry, monkeypatch):
        entered, gate, threads = threading.Semaphore(0), threading.Event(), []
        draft = registry._intake.draft

        def held_up(*args, **options):
            threads.append(threading.current_thread().name)
            entered.release()
            assert gate.wait(60)
            return draft(*args, **options)

        monkeypatch.setattr(registry._intake, "draft", held_up)
        wish = world.write_files()
        registering = [asyncio.create_task(register(registry, wish)) for _ in range(4)]
        assert await asyncio.to_thread(entered.acquire, timeout=60)
        assert (await table_of(registry)).models == {}
        assert len(threads) == 1
        gate.set()
        await asyncio.gather(*registering)
        assert set(threads) == {"intake_0"}

    async def test_a_full_disk_refuses_and_leaves_nothing(self, world, registry, monkeypatch):
        def fail(_staged):
            raise output_error(Path("x"), OSError(28, "no space"))

        monkeypatch.setattr(registry._files, "keep", fail)
        with pytest.raises(StoreUnavailableError, match="no room"):
            await register(registry, world.write_files())
        assert (await table_of(registry)).models == {}
        assert world.kept_files() == []


class TestRegistrationOfTrainings:
    async def test_one_call_takes_weights_card_and_lineage(self, world, registry):
        version = await register(registry, world.add_training(description="first"))
        assert version.card.task_id == "train-1"
        assert version.lineage.task_id == "train-1"
        assert version.lineage.dataset_hash == {"train": "a" * 64, "valid": "b" * 64}
        assert version.lineage.parent_weights == "resnet18-f37072fd.pth"
        assert version.lineage.parameters["description"] == "first"
        assert version.lineage.curves == {"epoch": (1, 2), "val_acc": (50.0, None)}

    @pytest.mark.parametrize(
        ("request_parts", "parent"),
        [
            ({"resume_from": "train-0"}, "task train-0"),
            ({"weight_path": "w.pth"}, "w.pth"),
            ({"pretrained": False}, ""),
        ],
    )
    async def test_the_parent_is_what_the_training_started_from(self, world, registry, request_parts, parent):
        assert (await register(registry, world.add_training(**request_parts))).lineage.parent_weights == parent

    async def test_an_unknown_task_is_not_found(self, registry):
        with pytest.raises(TaskNotFoundError):
            await register(registry, RegisterModel("drones", task_id="nobody"))

    async def test_a_training_that_has_not_completed_is_refused(self, world, registry):
        with pytest.raises(SubmissionError, match=r"task_id: .* is running"):
            await register(registry, world.add_training(state=TaskState.RUNNING))

    async def test_weights_that_another_training_wrote_into_the_folder_are_refused(self, world, registry):
        wish = world.add_training()
        world.write_files("runs/train-1", b"later", card=make_card(b"later", task_id="train-2"))
        with pytest.raises(SubmissionError) as caught:
            await register(registry, wish)
        assert (caught.value.code, caught.value.field) == ("output_changed", "task_id")
        assert world.kept_files() == []

    async def test_weights_that_were_changed_since_are_refused(self, world, registry):
        wish = world.add_training()
        (world.root / "runs/train-1/best_model.pth").write_bytes(b"tampered")
        with pytest.raises(SubmissionError, match="other weights"):
            await register(registry, wish)

    async def test_figures_that_are_gone_are_missing_and_nothing_else(self, world, registry):
        wish = world.add_training()
        (world.root / "runs/train-1/metrics.csv").unlink()
        assert (await register(registry, wish)).lineage.curves == {}


class TestGoldenInputs:
    async def test_they_are_pictures_of_every_class_that_the_training_was_validated_on(self, world, registry):
        world.add_pictures(per_class=8)
        version = await register(registry, world.add_training())
        inputs = np.load(version.served.golden_path)["inputs"]
        assert (inputs.shape, inputs.dtype) == ((8, SIDE, SIDE, 3), np.uint8)
        assert {int(picture[0, 0, 0]) for picture in inputs} == {50, 100, 150}

    async def test_without_pictures_they_are_made_and_always_the_same(self, world, registry):
        first = await register(registry, world.write_files())
        second = await register(registry, world.add_training())
        inputs = np.load(first.served.golden_path)["inputs"]
        assert (inputs.shape, inputs.dtype) == ((8, SIDE, SIDE, 3), np.uint8)
        assert len({picture.tobytes() for picture in inputs}) == 8
        assert first.served.golden_path == second.served.golden_path

    async def test_large_pictures_are_fewer(self, world, registry):
        version = await register(registry, world.write_files(image_size=2048))
        assert np.load(version.served.golden_path)["inputs"].shape == (1, 2048, 2048, 3)


class TestVersions:
    async def test_the_same_weights_twice_are_two_versions_of_one_file(self, world, registry):
        wish = world.write_files()
        first, second = await register(registry, wish), await register(registry, wish)
        assert (first.served.version, second.served.version) == (1, 2)
        assert first.served.weights_path == second.served.weights_path
        assert world.kept_files() == [".npz", ".pth", ".yaml"]
        await registry.answer(DeleteVersion("drones", 1))
        assert content_of(second.served.weights_path) == b"weights"

    async def test_a_number_is_never_given_twice_even_after_the_whole_model_is_gone(self, world, registry):
        wish = world.write_files()
        await register(registry, wish)
        await register(registry, wish)
        await registry.answer(DeleteVersion("drones", 2))
        assert (await register(registry, wish)).served.version == 3
        await registry.answer(DeleteVersion("drones"))
        assert (await table_of(registry)).models == {}
        assert (await register(world.open_registry(), wish)).served.version == 4

    async def test_files_go_with_the_last_version_that_needs_them(self, world, registry):
        await register(registry, world.write_files(content=b"one"))
        other = await register(registry, world.write_files(content=b"two"))
        await registry.answer(DeleteVersion("drones", 1))
        assert [path.name for path in (world.settings.state_dir / "models").glob("*.pth")] == [Path(other.served.weights_path).name]
        await registry.answer(DeleteVersion("drones"))
        assert world.kept_files() == []

    async def test_what_a_crash_left_half_copied_goes_at_the_next_start(self, world, registry):
        await register(registry, world.write_files())
        (world.settings.state_dir / "models/.incoming-1").write_bytes(b"half")
        world.open_registry()
        assert world.kept_files() == [".npz", ".pth", ".yaml"]

    @pytest.mark.parametrize("question", [DeleteVersion("birds"), DeleteVersion("drones", 7), SetAlias("drones", "a", 7, None)])
    async def test_what_does_not_exist_is_not_found_and_the_revision_stays(self, world, registry, question):
        await register(registry, world.write_files())
        before = (await table_of(registry)).revision
        with pytest.raises(ModelNotFoundError):
            await registry.answer(question)
        assert (await table_of(registry)).revision == before

    async def test_many_registrations_at_once_get_different_numbers(self, world, registry):
        wish = world.write_files()
        versions = await asyncio.gather(*(register(registry, wish) for _ in range(5)))
        assert sorted(each.served.version for each in versions) == [1, 2, 3, 4, 5]


class TestAliases:
    async def test_they_survive_a_restart_and_mean_what_was_set_last(self, world, registry):
        for _ in range(2):
            await register(registry, world.write_files())
        await registry.answer(SetAlias("drones", "production", 1, None))
        table = await registry.answer(SetAlias("drones", "production", 2, 1))
        assert table.models["drones"].aliases == {"production": 2}
        assert (await table_of(world.open_registry())) == table

    @pytest.mark.parametrize("expected", [None, 2])
    async def test_one_that_was_changed_meanwhile_is_not_overwritten(self, world, registry, expected):
        for _ in range(2):
            await register(registry, world.write_files())
        await registry.answer(SetAlias("drones", "production", 1, None))
        with pytest.raises(AliasMovedError, match="it means version 1 now"):
            await registry.answer(SetAlias("drones", "production", 2, expected))
        assert (await table_of(registry)).models["drones"].aliases == {"production": 1}

    async def test_what_they_mean_cannot_be_deleted_until_they_are_gone(self, world, registry):
        await register(registry, world.write_files())
        await registry.answer(SetAlias("drones", "candidate", 1, None))
        for question in (DeleteVersion("drones", 1), DeleteVersion("drones")):
            with pytest.raises(ModelInUseError, match="candidate"):
                await registry.answer(question)
        assert (await registry.answer(RemoveAlias("drones", "candidate"))).models["drones"].aliases == {}
        assert (await registry.answer(DeleteVersion("drones", 1))).models == {}

    @pytest.mark.parametrize("alias", ["3", "v3", "", "a/b"])
    async def test_none_can_be_called_like_a_version(self, world, registry, alias):
        await register(registry, world.write_files())
        with pytest.raises(ModelNotFoundError):
            await registry.answer(SetAlias("drones", alias, 1, None))

    async def test_one_that_does_not_exist_cannot_be_removed(self, world, registry):
        await register(registry, world.write_files())
        with pytest.raises(ModelNotFoundError, match="nothing"):
            await registry.answer(RemoveAlias("drones", "nothing"))


class TestLoads:
    async def test_the_first_golden_answers_are_kept_and_change_the_table(self, world, registry):
        await register(registry, world.write_files())
        before = await table_of(registry)
        await registry.answer(NoteLoad("drones", 1, REPORT, ((0.5, 0.25, 0.25),)))
        after = await table_of(registry)
        assert after.revision == before.revision + 1
        assert after.models["drones"].versions[1].served.golden_expected == ((0.5, 0.25, 0.25),)
        await registry.answer(NoteLoad("drones", 1, REPORT, ((0.1, 0.1, 0.8),)))
        assert (await table_of(registry)).models["drones"].versions[1].served.golden_expected == ((0.5, 0.25, 0.25),)

    async def test_the_last_report_of_each_kind_of_device_is_told_without_a_new_revision(self, world, registry):
        await register(registry, world.write_files())
        await registry.answer(NoteLoad("drones", 1, replace(REPORT, reason="first")))
        before = (await table_of(registry)).revision
        reports = [REPORT, replace(REPORT, device_kind="cuda"), replace(REPORT, reason="forced", largest_difference=0.0)]
        for report in reports:
            await registry.answer(NoteLoad("drones", 1, report))
        table = await table_of(registry)
        assert table.revision == before
        assert set(table.models["drones"].versions[1].loads[1:]) == {reports[2]}
        assert [load.device_kind for load in table.models["drones"].versions[1].loads] == ["cuda", "cpu"]
        again = (await table_of(world.open_registry())).models["drones"].versions[1].loads
        assert np.isnan(again[0].largest_difference)

    async def test_a_version_that_is_gone_is_passed_over(self, registry):
        assert await registry.answer(NoteLoad("drones", 1, REPORT, ((1.0,),))) is None


class TestWatching:
    async def test_a_change_wakes_everybody_at_once(self, world, registry):
        revision = (await table_of(registry)).revision
        watchers = [asyncio.create_task(registry.answer(WatchModels(revision, 3600))) for _ in range(3)]
        await asyncio.sleep(0)
        await register(registry, world.write_files())
        async with asyncio.timeout(20):
            tables = await asyncio.gather(*watchers)
        assert [set(table.models) for table in tables] == [{"drones"}] * 3

    async def test_the_first_load_of_a_version_wakes_everybody_for_the_bare_name_may_mean_it_now(self, world, registry):
        for _ in range(2):
            await register(registry, world.write_files())
        for number in (1, 2):
            revision = (await table_of(registry)).revision
            watcher = asyncio.create_task(registry.answer(WatchModels(revision, 3600)))
            await asyncio.sleep(0)
            await registry.answer(NoteLoad("drones", number, REPORT))
            async with asyncio.timeout(20):
                table = await watcher
            assert table.models["drones"].default_version == number

    async def test_news_of_another_load_alone_wakes_nobody(self, world, registry):
        await register(registry, world.write_files())
        await registry.answer(NoteLoad("drones", 1, REPORT))
        revision = (await table_of(registry)).revision
        watcher = asyncio.create_task(registry.answer(WatchModels(revision, 3600)))
        await registry.answer(NoteLoad("drones", 1, REPORT))
        await asyncio.sleep(0)
        assert not watcher.done()
        watcher.cancel()

    async def test_without_a_change_the_same_table_comes_when_the_wait_is_over(self, registry):
        revision = (await table_of(registry)).revision
        assert (await registry.answer(WatchModels(revision, 0.01))).revision == revision
