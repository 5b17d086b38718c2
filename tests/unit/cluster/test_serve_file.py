"""What Serve is told by file: the same applications as `rfuav up`, and nothing of others is ended by a change of scale."""

from pathlib import Path

import yaml
from ray._common.utils import import_attr
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from actors.core.model import DeviceKind
from actors.names import INGRESS, PREDICTOR
from cluster.serving import describe, merge
from configs.settings import Settings
from serve_app.predictor_plan import PredictorPlan

FILE = Path(__file__).parents[3] / "configs" / "serve.yaml"
PLAN = PredictorPlan(settings=Settings(), kind=DeviceKind.CPU, replica_units=1000, device_cores=2)


def read_file() -> ServeDeploySchema:
    return ServeDeploySchema.model_validate(yaml.safe_load(FILE.read_text()))


def test_the_file_has_the_two_applications_where_up_has_them():
    found = {each.name: each.route_prefix for each in read_file().applications}
    assert found == {INGRESS: "/", PREDICTOR: None}


def test_every_builder_of_the_file_is_there():
    assert all(callable(import_attr(each.import_path)) for each in read_file().applications)


def test_a_change_of_scale_keeps_the_declared_ingress_and_the_predictors_own_declaration():
    declared = read_file().applications
    merged = {each.name: each for each in merge(describe(PLAN, 4), declared).applications}
    assert merged[INGRESS] == next(each for each in declared if each.name == INGRESS)
    assert merged[PREDICTOR].import_path == "serve_app.declared:predictor"
    assert merged[PREDICTOR].deployments[0].autoscaling_config["max_replicas"] == 4


def test_without_declarations_the_predictor_stands_alone():
    wanted = describe(PLAN, 4)
    assert merge(wanted, []) == wanted
    other = ServeApplicationSchema(name="other", route_prefix="/other", import_path="some.where:app")
    assert [each.name for each in merge(wanted, [other]).applications] == ["other", PREDICTOR]
