"""The model registry over HTTP: what is registered, what aliases mean, and that nothing changes where a step of a promotion fails."""

import asyncio
from dataclasses import replace

import pytest
from fastapi.exceptions import RequestValidationError

from actors.access import Role
from actors.core.errors import AliasMovedError, ModelNotFoundError, SubmissionError, TaskNotFoundError
from actors.core.tasks import Progress
from actors.learning.history_files import METRICS_CSV, metrics_csv
from actors.registry.records import Lineage, LoadReport, Precision, ServingWish
from serve_app.model_table import FollowedModels
from serve_app.ports import NotReadyError
from serve_app.schemas.models import (
    ComparisonResponse,
    DeletedModelResponse,
    ModelListResponse,
    ModelResponse,
    ModelVersionResponse,
)
from tests.fake_serving import make_version
from tests.fakes import START
from tests.http import bodies
from tests.http.callers import error_code, sent

pytestmark = pytest.mark.anyio

MODELS = "/api/v2/models"
PRODUCTION = f"{MODELS}/drones/aliases/production"
FILES = {"name": "drones", "cfg_path": "out/config.yaml", "weight_path": "out/best_model.pth"}


@pytest.fixture
async def _three_versions(models):
    """Three versions; production means the first."""
    await models.put(*(make_version(version=number) for number in (1, 2, 3)), aliases={"production": 1})


def aliases_of(models):
    return dict(models.table.models["drones"].aliases)


def orders(predictor):
    """What replicas were asked to prepare: the version, the one that may go for it, and the replica that is meant."""
    return [
        (order.model.version, order.instead_of and order.instead_of.version, order.only_replica) for order in predictor.prepared
    ]


class TestRegistration:
    async def test_a_training_becomes_a_version_in_one_call(self, client, models):
        body = {"name": "drones", "task_id": "t1", "description": "first", "unknown_below": 0.6}
        answer = await client.post(MODELS, json=body)
        assert answer.status_code == 200
        found = ModelVersionResponse(**answer.json())
        assert (found.name, found.version, found.aliases, found.warnings) == ("drones", 1, [], [])
        assert (found.model_card.unknown_below, found.description) == (0.6, "first")
        (wish,) = models.wishes
        assert (wish.task_id, wish.cfg_path, wish.wish) == ("t1", "", ServingWish())

    async def test_files_become_a_version_with_the_wish_how_it_is_served(self, client, models):
        answer = await client.post(MODELS, json={**FILES, "precision": "float32", "optimise": False})
        serving = ModelVersionResponse(**answer.json()).model_card.serving
        assert (serving.precision, serving.optimise, serving.forced) == (Precision.FLOAT32, False, True)
        assert (models.wishes[0].cfg_path, models.wishes[0].weight_path) == ("out/config.yaml", "out/best_model.pth")

    async def test_it_is_checked_by_the_replicas_before_anybody_may_ask_for_it(self, client, models, predictor):
        predictor.states = {"replica-1": "ready", "replica-2": "failed"}
        answer = await client.post(MODELS, json=FILES)
        assert error_code(answer) == (409, "model_check_failed")
        assert "replica-2: it is failed" in answer.json()["message"]
        assert models.table.models == {}
        assert (await client.get(f"{MODELS}/drones")).status_code == 404

    @pytest.mark.parametrize(("states", "reason"), [({}, "does not answer"), ({"r": "no_room"}, "no replica has room")])
    async def test_what_could_not_be_checked_yet_is_kept_and_says_so(self, client, models, predictor, states, reason):
        predictor.states = states
        (warning,) = ModelVersionResponse(**(await client.post(MODELS, json=FILES)).json()).warnings
        assert warning.startswith("not checked yet: ")
        assert reason in warning
        assert set(models.table.models["drones"].versions) == {1}

    async def test_with_an_alias_it_is_promoted_at_once(self, client, models):
        answer = await client.post(MODELS, json={**FILES, "alias": "candidate"})
        assert ModelVersionResponse(**answer.json()).aliases == ["candidate"]
        assert aliases_of(models) == {"candidate": 1}

    @pytest.mark.parametrize(
        ("states", "error"), [({}, (503, "not_ready")), ({"r": "failed"}, (409, "model_check_failed"))], ids=["away", "failed"]
    )
    async def test_where_it_cannot_be_promoted_it_is_not_kept(self, client, models, predictor, states, error):
        predictor.states = states
        assert error_code(await client.post(MODELS, json={**FILES, "alias": "candidate"})) == error
        assert models.table.models == {}

    async def test_what_the_registry_refuses_names_the_field(self, client, models):
        models.refusal = SubmissionError("path_not_found", "weight_path", "no such file: 'w'", "check the spelling")
        answer = await client.post(MODELS, json=FILES)
        assert error_code(answer) == (404, "path_not_found")
        assert "weight_path" in answer.json()["message"]
        models.refusal = TaskNotFoundError("t1")
        assert error_code(await client.post(MODELS, json={"name": "drones", "task_id": "t1"})) == (404, "task_not_found")

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"name": "drones"}, "give task_id, or both"),
            ({**FILES, "task_id": "t1"}, "give task_id, or both"),
            ({"name": "drones", "cfg_path": "c.yaml"}, "give task_id, or both"),
            ({"name": "drones", "task_id": "t1", "cfg_path": "c.yaml"}, "give task_id, or both"),
            ({**FILES, "name": "a/b"}, "name"),
            ({**FILES, "name": "x" * 65}, "name"),
            ({**FILES, "alias": "v3"}, "no number"),
            ({**FILES, "unknown_below": 1.5}, "unknown_below"),
            ({**FILES, "precision": "int8"}, "precision"),
            ({**FILES, "colour": "red"}, "colour"),
        ],
    )
    async def test_a_wrong_field_is_named(self, client, models, body, says):
        answer = await client.post(MODELS, json=body)
        assert error_code(answer) == (422, "invalid_field")
        assert says in answer.json()["message"]
        assert models.wishes == []


@pytest.mark.usefixtures("_three_versions")
class TestLooking:
    async def test_the_list_tells_of_every_model_and_version(self, client, models):
        await models.put(make_version("birds"))
        found = ModelListResponse(**(await client.get(MODELS)).json()).models
        assert [(each.name, each.default_version, [one.version for one in each.versions]) for each in found] == [
            ("birds", 1, [1]),
            ("drones", 1, [1, 2, 3]),
        ]

    async def test_a_version_tells_where_it_comes_from_and_how_it_is_served(self, client, models):
        load = LoadReport("cpu", Precision.BFLOAT16, True, "golden inputs agree", float("nan"), 0.8, 23_000_000, START)
        lineage = Lineage("t9", {"train": "a"}, "resnet18-f37072fd.pth", {"num_epochs": 3}, {"val_acc": (1.0,)})
        await models.put(replace(make_version(version=4, unknown_below=0.5), loads=(load,), lineage=lineage))
        found = ModelVersionResponse(**(await client.get(f"{MODELS}/drones/4")).json())
        assert (found.metrics, found.sha256, found.size_bytes) == ({"val_acc": 94.0}, "0" * 64, 45_000_000)
        assert (found.lineage.task_id, found.lineage.parameters) == ("t9", {"num_epochs": 3})
        assert (found.model_card.classes, found.model_card.unknown_below) == (["AVATA", "FLIGHT", "MINI"], 0.5)
        serving = found.model_card.serving
        assert (serving.forced, set(serving.chosen)) == (False, {"cpu"})
        assert (serving.chosen["cpu"].reason, serving.chosen["cpu"].largest_difference) == ("golden inputs agree", None)

    @pytest.mark.parametrize(("wanted", "number"), [("2", 2), ("v2", 2), ("production", 1)])
    async def test_a_version_is_found_by_its_number_or_an_alias(self, client, wanted, number):
        assert ModelVersionResponse(**(await client.get(f"{MODELS}/drones/{wanted}")).json()).version == number

    @pytest.mark.parametrize(
        ("path", "there_is"),
        [
            ("birds", "models: drones"),
            ("birds/1", "models: drones"),
            ("drones/7", "versions: 1, 2, 3; aliases: production"),
            ("drones/candidate", "versions: 1, 2, 3; aliases: production"),
            ("drones/" + "9" * 400, "versions: 1, 2, 3"),
            ("drones/²", "versions: 1, 2, 3"),
        ],
    )
    async def test_what_is_not_there_is_answered_with_what_is(self, client, path, there_is):
        answer = await client.get(f"{MODELS}/{path}")
        assert error_code(answer) == (404, "model_not_found")
        assert there_is in answer.json()["message"]

    async def test_the_last_known_models_are_told_while_the_registry_is_away(self, client, models):
        await client.get(MODELS)
        models.is_ready = False
        assert [each.name for each in ModelListResponse(**(await client.get(MODELS)).json()).models] == ["drones"]
        assert (await client.put(PRODUCTION, json={"version": 2})).status_code == 503


async def test_without_any_models_the_list_is_empty(client):
    assert ModelListResponse(**(await client.get(MODELS)).json()).models == []


async def test_before_the_models_were_ever_known_callers_are_sent_away_for_a_while(client, models):
    models.is_ready = False
    answer = await client.get(MODELS)
    assert error_code(answer) == (503, "not_ready")
    assert "Retry-After" in answer.headers


@pytest.mark.usefixtures("_three_versions")
class TestPromotion:
    async def test_the_new_version_is_prepared_then_meant_and_the_old_one_freed(self, client, models, predictor, app):
        answer = await client.put(PRODUCTION, json={"version": 2})
        assert ModelResponse(**answer.json()).aliases == {"production": 2}
        assert (orders(predictor), predictor.freed) == ([(2, 1, "")], [("drones", 1)])
        assert aliases_of(models) == {"production": 2}
        assert (await app.state.service.models.resolve("drones")).version.served.version == 2

    async def test_an_earlier_version_rolls_back(self, client, models, predictor):
        for version in (2, 1):
            assert (await client.put(PRODUCTION, json={"version": version})).status_code == 200
        assert (aliases_of(models), predictor.freed) == ({"production": 1}, [("drones", 1), ("drones", 2)])

    async def test_what_it_means_already_asks_nothing_of_anybody(self, client, predictor):
        answer = await client.put(PRODUCTION, json={"version": 1})
        assert (answer.status_code, predictor.prepared, predictor.freed) == (200, [], [])

    async def test_a_version_that_another_alias_means_is_not_freed(self, client, predictor):
        await client.put(f"{MODELS}/drones/aliases/candidate", json={"version": 1})
        await client.put(PRODUCTION, json={"version": 2})
        assert predictor.freed == []

    async def test_a_failed_check_changes_nothing_and_names_the_replica_and_its_reason(self, client, models, predictor):
        predictor.states = {"replica-1": "ready", "replica-2": "failed"}
        answer = await client.put(PRODUCTION, json={"version": 2})
        assert error_code(answer) == (409, "model_check_failed")
        assert "replica-2: it is failed" in answer.json()["message"]
        assert (aliases_of(models), predictor.freed) == ({"production": 1}, [("drones", 2)])

    async def test_a_version_that_is_in_use_already_stays_loaded_when_its_check_fails(self, client, models, predictor):
        await models.put(make_version(version=2), aliases={"candidate": 2})
        predictor.states = {"replica-1": "failed"}
        assert error_code(await client.put(PRODUCTION, json={"version": 2})) == (409, "model_check_failed")
        assert predictor.freed == []

    async def test_replicas_without_room_for_both_give_up_the_old_version_one_at_a_time(self, client, models, predictor):
        predictor.states = {"a": "no_room", "b": "ready", "c": "no_room"}
        assert (await client.put(PRODUCTION, json={"version": 2})).status_code == 200
        assert orders(predictor) == [(2, 1, ""), (2, 1, "a"), (2, 1, "c")]
        assert (aliases_of(models), predictor.freed) == ({"production": 2}, [("drones", 1)])

    async def test_where_the_check_fails_in_such_a_replica_those_before_it_get_the_old_version_back(
        self, client, models, predictor, monkeypatch
    ):
        predictor.states = {"a": "no_room", "b": "no_room"}
        prepare = predictor.prepare

        async def fail_in_b(order):
            predictor.states["b"] = "failed" if (order.model.version, order.only_replica) == (2, "b") else "no_room"
            return await prepare(order)

        monkeypatch.setattr(predictor, "prepare", fail_in_b)
        assert error_code(await client.put(PRODUCTION, json={"version": 2})) == (409, "model_check_failed")
        assert orders(predictor)[1:] == [(2, 1, "a"), (2, 1, "b"), (1, 2, "b"), (1, 2, "a")]
        assert (aliases_of(models), predictor.freed) == ({"production": 1}, [("drones", 2)])

    async def test_an_old_version_that_another_alias_means_does_not_make_room(self, client, models, predictor):
        await client.put(f"{MODELS}/drones/aliases/candidate", json={"version": 1})
        predictor.states = {"a": "no_room"}
        answer = await client.put(PRODUCTION, json={"version": 2})
        assert error_code(answer) == (409, "model_check_failed")
        assert "candidate means too" in answer.json()["message"]
        assert aliases_of(models) == {"production": 1, "candidate": 1}

    async def test_a_new_alias_has_no_old_version_to_make_room(self, client, models, predictor):
        predictor.states = {"a": "no_room"}
        assert error_code(await client.put(f"{MODELS}/drones/aliases/new", json={"version": 2})) == (409, "model_check_failed")
        assert (aliases_of(models), len(predictor.prepared)) == ({"production": 1}, 1)

    async def test_an_alias_that_somebody_else_moved_meanwhile_stays_where_it_is(self, client, models, predictor, monkeypatch):
        predictor.states = {"a": "no_room"}
        prepare = predictor.prepare

        async def prepare_while_another_promotes(order):
            await models.put(make_version(version=3), aliases={"production": 3})
            return await prepare(order)

        monkeypatch.setattr(predictor, "prepare", prepare_while_another_promotes)
        assert error_code(await client.put(PRODUCTION, json={"version": 2})) == (409, "alias_moved")
        assert aliases_of(models) == {"production": 3}
        assert orders(predictor)[-1] == (1, 2, "a")

    async def test_without_a_replica_nothing_changes(self, client, models, predictor):
        predictor.states = {}
        assert error_code(await client.put(PRODUCTION, json={"version": 2})) == (503, "not_ready")
        assert aliases_of(models) == {"production": 1}

    async def test_two_at_once_come_one_after_the_other(self, client, models, predictor, monkeypatch):
        prepare, under_way, most = predictor.prepare, [], []

        async def prepare_slowly(order):
            under_way.append(order)
            await asyncio.sleep(0)
            most.append(len(under_way))
            under_way.remove(order)
            return await prepare(order)

        monkeypatch.setattr(predictor, "prepare", prepare_slowly)
        answers = await asyncio.gather(*(client.put(PRODUCTION, json={"version": version}) for version in (2, 3)))
        assert [answer.status_code for answer in answers] == [200, 200]
        assert (aliases_of(models), predictor.freed) == ({"production": 3}, [("drones", 1), ("drones", 2)])
        assert most == [1, 1]

    @pytest.mark.parametrize(
        ("path", "body", "error"),
        [
            ("drones/aliases/production", {"version": 9}, (404, "model_not_found")),
            ("birds/aliases/production", {"version": 1}, (404, "model_not_found")),
            ("a b/aliases/production", {"version": 1}, (404, "model_not_found")),
            ("drones/aliases/3", {"version": 1}, (422, "invalid_field")),
            ("drones/aliases/a b", {"version": 1}, (422, "invalid_field")),
            ("drones/aliases/production", {"version": 0}, (422, "invalid_field")),
            ("drones/aliases/production", {}, (422, "invalid_field")),
        ],
    )
    async def test_what_cannot_be_meant_is_refused(self, client, predictor, path, body, error):
        assert error_code(await client.put(f"{MODELS}/{path}", json=body)) == error
        assert predictor.prepared == []

    async def test_an_alias_can_be_removed_once(self, client, models):
        assert ModelResponse(**(await client.delete(PRODUCTION)).json()).aliases == {}
        assert error_code(await client.delete(PRODUCTION)) == (404, "model_not_found")
        assert set(models.table.models["drones"].versions) == {1, 2, 3}


@pytest.mark.usefixtures("_three_versions")
class TestDeletion:
    async def test_a_version_is_forgotten_by_registry_and_replicas(self, client, models, predictor):
        answer = DeletedModelResponse(**(await client.delete(f"{MODELS}/drones/2")).json())
        assert (answer.versions, predictor.freed) == ([2], [("drones", 2)])
        assert set(models.table.models["drones"].versions) == {1, 3}
        assert (await client.get(f"{MODELS}/drones/2")).status_code == 404

    @pytest.mark.parametrize("path", ["drones/1", "drones/production", "drones"])
    async def test_what_an_alias_means_stays(self, client, models, predictor, path):
        answer = await client.delete(f"{MODELS}/{path}")
        assert error_code(answer) == (409, "model_in_use")
        assert (set(models.table.models["drones"].versions), predictor.freed) == ({1, 2, 3}, [])

    async def test_a_model_without_aliases_goes_as_a_whole(self, client, models):
        await client.delete(PRODUCTION)
        answer = DeletedModelResponse(**(await client.delete(f"{MODELS}/drones")).json())
        assert (answer.versions, models.table.models) == ([1, 2, 3], {})

    @pytest.mark.parametrize("path", ["birds", "birds/1", "drones/9", "drones/x"])
    async def test_what_is_not_there_cannot_be_deleted(self, client, path):
        assert error_code(await client.delete(f"{MODELS}/{path}")) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body", "aliases", "versions"),
    [
        ("POST", MODELS, FILES, {"production": 1}, {1, 2, 3, 4}),
        ("POST", MODELS, {**FILES, "alias": "new"}, {"production": 1, "new": 4}, {1, 2, 3, 4}),
        ("PUT", PRODUCTION, {"version": 2}, {"production": 2}, {1, 2, 3}),
        ("DELETE", PRODUCTION, None, {}, {1, 2, 3}),
        ("DELETE", f"{MODELS}/drones/3", None, {"production": 1}, {1, 2}),
    ],
)
@pytest.mark.usefixtures("_three_versions")
async def test_who_changes_something_here_finds_it_changed_before_the_long_poll_tells(
    app, client, models, monkeypatch, method, path, body, aliases, versions
):
    watch = models.watch

    async def tell_nothing_by_itself(revision, wait_s):
        return await (asyncio.Event().wait() if wait_s else watch(revision, wait_s))

    monkeypatch.setattr(models, "watch", tell_nothing_by_itself)
    await app.state.service.models.refresh()
    assert (await client.request(method, path, json=body)).status_code == 200
    entry = (await app.state.service.models.table()).models["drones"]
    assert (entry.aliases, set(entry.versions)) == (aliases, versions)


class TestAccess:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", MODELS, FILES),
            ("PUT", PRODUCTION, {"version": 2}),
            ("DELETE", PRODUCTION, None),
            ("DELETE", f"{MODELS}/drones/2", None),
            ("DELETE", f"{MODELS}/drones", None),
        ],
    )
    @pytest.mark.usefixtures("_three_versions")
    async def test_viewers_look_and_change_nothing(self, client, keys, models, method, path, body):
        before = models.table
        answer = await client.request(method, path, json=body, headers=sent(keys[Role.VIEWER]))
        assert error_code(answer) == (403, "role_too_low")
        assert (await client.request(method, path, json=body)).status_code == 401
        assert (await client.get(MODELS, headers=sent(keys[Role.VIEWER]))).status_code == 200
        assert models.table is before

    async def test_every_change_is_noted_with_what_it_was_about(self, client, keys, access, app):
        operator = sent(keys[Role.OPERATOR])
        await client.post(MODELS, json={**FILES, "alias": "candidate"}, headers=operator)
        await client.put(PRODUCTION, json={"version": 1}, headers=operator)
        await client.delete(f"{MODELS}/drones/1", headers=operator)
        await client.delete(f"{MODELS}/drones/aliases/candidate", headers=operator)
        await client.delete(PRODUCTION, headers=operator)
        await client.delete(f"{MODELS}/drones/1", headers=operator)
        await app.state.service.door.audit.flush(5)
        assert [(entry.action, entry.subject, entry.status) for entry in access.entries] == [
            ("register_model", "drones@1", 200),
            ("promote_model", "drones: production means version 1", 200),
            ("delete_model", "drones/1", 409),
            ("remove_alias", "drones: candidate means nothing", 200),
            ("remove_alias", "drones: production means nothing", 200),
            ("delete_model", "drones@1", 200),
        ]


class TestComparison:
    @pytest.fixture
    def settings(self, settings, tmp_path):
        return settings.model_copy(update={"data_roots": (tmp_path,)})

    @pytest.fixture
    async def _runs(self, client, tasks, models, tmp_path):
        """A version with three epochs, and a training with two."""
        curves = {"epoch": (1, 2, 3), "val_acc": (50.0, None, 91.0)}
        lineage = Lineage("t0", {}, "", {"model": "resnet18", "learning_rate": 0.001}, curves)
        await models.put(replace(make_version(), lineage=lineage))
        (tmp_path / "out").mkdir()
        await client.post("/api/v2/training/start", json=bodies.training(task_id="t1", learning_rate=0.01))
        tasks.grant("t1", "cuda:0")
        tasks.progress("t1", Progress(50, metrics={"val_acc": 60.0, "val_loss": 0.5}))
        rows = [{"epoch": number, "val_acc": 50.0 + number, "val_loss": 1.0} for number in (1, 2)]
        (tmp_path / "out" / METRICS_CSV).write_text(metrics_csv(rows))

    @pytest.mark.usefixtures("_runs")
    async def test_versions_and_trainings_stand_side_by_side(self, client):
        answer = await client.get("/api/v2/comparison?model=drones&task=t1&model=drones@1")
        found = ComparisonResponse(**answer.json())
        assert [(each.kind, each.id) for each in found.columns] == [
            ("model", "drones@1"),
            ("model", "drones@1"),
            ("training", "t1"),
        ]
        assert found.parameters["learning_rate"] == [0.001, 0.001, 0.01]
        assert found.parameters["train_path"] == [None, None, "data/train"]
        assert "learning_rate" in found.differing
        assert "model" not in found.differing
        assert found.metrics == {"val_acc": [91.0, 91.0, 60.0], "val_loss": [None, None, 0.5]}
        assert found.epochs == [1, 2, 3]
        assert found.curves["val_acc"] == [[50.0, None, 91.0], [50.0, None, 91.0], [51.0, 52.0, None]]
        assert found.curves["val_loss"] == [[None] * 3, [None] * 3, [1.0, 1.0, None]]

    @pytest.mark.usefixtures("_runs")
    async def test_a_training_whose_files_are_gone_has_no_curves(self, client, tasks, tmp_path):
        (tmp_path / "out" / METRICS_CSV).unlink()
        tasks.finish("t1")
        found = ComparisonResponse(**(await client.get("/api/v2/comparison?task=t1")).json())
        assert (found.epochs, found.curves, found.columns[0].status) == ([], {}, "completed")

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("", (422, "invalid_field")),
            ("model=a@b@c", (422, "invalid_field")),
            ("model=birds", (404, "model_not_found")),
            ("task=nobody", (404, "task_not_found")),
            ("&".join(["task=t"] * 33), (422, "invalid_field")),
        ],
    )
    async def test_what_cannot_be_compared_is_named(self, client, query, error):
        assert error_code(await client.get(f"/api/v2/comparison?{query}")) == error


class TestFollowedModels:
    async def test_a_bare_name_means_no_version_that_was_not_checked_while_there_is_another(self, models):
        load = LoadReport("cpu", Precision.FLOAT32, True, "forced", 0.0, 0.8, 23_000_000, START)
        checked = [replace(make_version(version=number), loads=(load,)) for number in (1, 2)]
        await models.put(*checked, make_version(version=3))
        assert (await FollowedModels(models).resolve("drones")).version.served.version == 2

    async def test_a_bare_name_means_production_and_else_the_newest(self, models):
        followed = FollowedModels(models)
        await models.put(make_version(version=1), make_version(version=2))
        found = await followed.resolve("drones")
        assert (found.version.served.version, found.alias) == (2, "")
        await models.put(make_version(version=3), aliases={"production": 1})
        await followed.refresh()
        found = await followed.resolve("drones")
        assert (found.version.served.version, found.alias) == (1, "production")

    @pytest.mark.parametrize(("text", "number", "alias"), [("drones@2", 2, ""), ("drones@v2", 2, ""), ("drones@old", 1, "old")])
    async def test_a_version_or_an_alias_is_meant_as_named(self, models, text, number, alias):
        await models.put(make_version(version=1), make_version(version=2), aliases={"old": 1})
        found = await FollowedModels(models).resolve(text)
        assert (found.version.served.version, found.alias) == (number, alias)

    @pytest.mark.parametrize("text", ["", "@1", "drones@", "a/b", ".hidden", "drones@1@2", "x" * 65, "drones\n"])
    async def test_what_is_no_name_at_all_is_a_wrong_field(self, models, text):
        with pytest.raises(RequestValidationError) as caught:
            await FollowedModels(models).resolve(text, loc=("path", "name"))
        assert caught.value.errors()[0]["loc"] == ("path", "name")

    async def test_a_name_that_nobody_has_is_not_found(self, models):
        with pytest.raises(ModelNotFoundError, match="there are no models"):
            await FollowedModels(models).resolve("drones")

    async def test_changes_of_others_come_by_themselves(self, models):
        followed = FollowedModels(models)
        await followed.table()
        await models.put(make_version())
        async with asyncio.timeout(5):
            while not (await followed.table()).models:  # noqa: ASYNC110 - the change is on its way and tells nobody
                await asyncio.sleep(0)

    async def test_the_last_table_serves_on_while_the_registry_is_away(self, models):
        followed = FollowedModels(models)
        await models.put(make_version())
        await followed.refresh()
        models.is_ready = False
        assert (await followed.resolve("drones")).version.served.version == 1
        with pytest.raises(NotReadyError):
            await followed.refresh()


async def test_an_alias_moved_error_says_so_in_http(client, models, monkeypatch):
    await models.put(make_version(version=1))

    async def refuse(wish):
        raise AliasMovedError(wish.name, "somebody changed production meanwhile")

    monkeypatch.setattr(models, "set_alias", refuse)
    assert error_code(await client.put(PRODUCTION, json={"version": 1})) == (409, "alias_moved")
