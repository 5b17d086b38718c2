"""What Serve is told of the predictor."""

import json
import math

import pytest
from ray.serve._private.deploy_utils import get_app_code_version

from actors.core.model import DeviceKind
from actors.core.serving import ServingAllowance
from cluster import ceiling as ceiling_module
from cluster import serving as serving_module
from cluster.ceiling import Ceiling, Deployed, read_deployed, write_deployed
from cluster.serving import describe
from configs.settings import Settings
from serve_app.deployment import build_predictor
from serve_app.predictor_plan import PredictorPlan, choose_scale


def make_plan(kind=DeviceKind.GPU, *, units=1_250, cores=0, **settings):
    return PredictorPlan(settings=Settings(**settings), kind=kind, replica_units=units, device_cores=cores)


@pytest.mark.parametrize(
    ("plan", "resources"),
    [
        (make_plan(), {"num_gpus": 0.125, "num_cpus": 0}),
        (make_plan(DeviceKind.CPU, units=1_000, cores=2), {"num_cpus": 0.2}),
        (make_plan(DeviceKind.CPU, units=1_000, cores=6), {"num_cpus": 0.6}),
    ],
)
def test_a_replica_takes_its_part_of_a_gpu_or_of_the_cores(plan, resources):
    assert plan.resources() == resources


@pytest.mark.parametrize(
    ("settings", "carried", "least", "most"),
    [
        ({}, 4, 1, 4),
        ({"serving_max_replicas": 3}, 4, 1, 3),
        ({"serving_max_replicas": 9}, 4, 1, 4),
        ({"serving_min_replicas": 2}, 4, 2, 4),
        ({"serving_min_replicas": 6}, 4, 4, 4),
        ({}, 0, 1, 1),
    ],
)
def test_the_number_of_replicas_is_within_the_settings_and_what_the_devices_carry(settings, carried, least, most):
    scale = choose_scale(Settings(**settings), carried)
    assert (scale["min_replicas"], scale["max_replicas"]) == (least, most)


def test_another_ceiling_leaves_replicas_as_they_are_and_another_plan_does_not():
    plan = make_plan()
    four, two = (get_app_code_version(describe(plan, most).applications[0]) for most in (4, 2))
    assert four == two
    assert get_app_code_version(describe(make_plan(units=600), 4).applications[0]) != four


def test_the_configuration_survives_its_journey_with_an_endless_patience():
    plan = make_plan(patience_s=math.inf)
    sent = json.loads(json.dumps(describe(plan, 4).applications[0].args))
    assert PredictorPlan.model_validate(sent) == plan


def test_replicas_take_no_port_and_the_queue_is_as_long_as_the_settings_say():
    bound = build_predictor(make_plan(serving_max_queued=7, serving_max_ongoing=5))
    deployment = bound._bound_deployment
    assert deployment.ray_actor_options["runtime_env"]["env_vars"] == {
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
    }
    assert (deployment.max_queued_requests, deployment.max_ongoing_requests) == (7, 5)


class TestCeiling:
    @pytest.fixture
    def carried(self, tmp_path, monkeypatch):
        """What the devices carry now, and what Serve was given."""
        numbers, applied = [4], []
        (tmp_path / "run").mkdir()

        def read(kind):
            return ServingAllowance(kind, 1_250, numbers[-1])

        monkeypatch.setattr(ceiling_module, "read_allowance", read)
        monkeypatch.setattr(serving_module, "apply_plan", lambda _plan, most: applied.append(most))
        self.plan = make_plan(state_dir=tmp_path)
        return numbers, applied

    def test_serve_is_asked_only_when_the_number_has_changed(self, carried):
        numbers, applied = carried
        ceiling = Ceiling(Deployed(plan=self.plan, most_replicas=4))
        ceiling.follow()
        assert applied == []
        for most in (2, 2, 4, 4):
            numbers.append(most)
            ceiling.follow()
        assert applied == [2, 4]

    def test_who_follows_it_next_begins_with_what_was_given_last(self, carried, tmp_path):
        numbers, applied = carried
        write_deployed(Deployed(plan=self.plan, most_replicas=4))
        numbers.append(2)
        Ceiling(read_deployed(tmp_path)).follow()
        Ceiling(read_deployed(tmp_path)).follow()
        assert applied == [2]

    @pytest.mark.usefixtures("carried")
    def test_the_note_is_nobody_elses(self, tmp_path):
        write_deployed(Deployed(plan=self.plan, most_replicas=4))
        (note,) = (tmp_path / "run").glob("*.json")
        assert note.stat().st_mode & 0o077 == 0

    def test_without_a_note_there_is_nothing_to_follow(self, tmp_path):
        assert read_deployed(tmp_path) is None
