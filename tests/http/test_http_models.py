"""The model registry over HTTP: what is registered, what aliases mean, and that nothing changes where a step of a promotion fails."""

import asyncio
from dataclasses import replace

import pytest

from actors.access import Role
from actors.core.errors import AliasMovedError, SubmissionError, TaskNotFoundError
from actors.registry.records import Lineage, LoadReport, Precision, ServingWish
from serve_app.schemas.models import (
    DeletedModelResponse,
    ModelListResponse,
    ModelResponse,
    ModelVersionResponse,
)
from tests.fake_serving import make_version
from tests.fakes import START
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


async def test_an_alias_moved_error_says_so_in_http(client, models, monkeypatch):
    await models.put(make_version(version=1))

    async def refuse(wish):
        raise AliasMovedError(wish.name, "somebody changed production meanwhile")

    monkeypatch.setattr(models, "set_alias", refuse)
    assert error_code(await client.put(PRODUCTION, json={"version": 1})) == (409, "alias_moved")
