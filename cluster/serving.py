"""Deploys the predictor, and changes its scale while it runs.

On our own Ray it is deployed by Serve's declarative configuration: applying that again with another scale keeps every replica, and the
ingress. On an adopted Ray that would delete the declarative applications of others, so the predictor is deployed like the ingress,
and its ceiling stays what the devices carried then. Importing this module imports Ray.
"""

from collections.abc import Sequence
from typing import Final

from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema, ServeInstanceDetails

from actors.names import PREDICTOR
from cluster.ceiling import Deployed, read_allowance, write_deployed
from configs.settings import Settings
from serve_app.deployment import bind_predictor
from serve_app.predictor_plan import PredictorPlan, choose_plan, choose_scale

_IMPORT_PATH: Final = "serve_app.deployment:build_predictor"
#: How long the accountant may take to begin.
_START_S: Final = 90.0


def deploy_predictor(settings: Settings, *, is_own: bool) -> None:
    """Ask Serve for the predictor, as large as the devices allow; waits for the accountant, and for nothing else.

    Args:
        settings: of the service.
        is_own: whether the Ray is our own.
    """
    allowance = read_allowance(None, timeout_s=_START_S)
    plan = choose_plan(settings, allowance)
    if is_own:
        write_deployed(Deployed(plan=plan, most_replicas=allowance.most_replicas))
        apply_plan(plan, allowance.most_replicas)
    else:
        _run_predictor(plan, allowance.most_replicas)


def apply_plan(plan: PredictorPlan, most_replicas: int) -> None:
    """Give Serve the predictor's declarative configuration; what did not change goes on as it is."""
    client = _get_global_client()
    details = ServeInstanceDetails.model_validate(client.get_serve_details())
    declared = [each.deployed_app_config for each in details.applications.values() if each.deployed_app_config is not None]
    client.deploy_apps(merge(describe(plan, most_replicas), declared))


def merge(wanted: ServeDeploySchema, declared: Sequence[ServeApplicationSchema]) -> ServeDeploySchema:
    """The predictor's configuration among those that were declared otherwise, as by ``serve deploy``: Serve ends what is left out.

    Args:
        wanted: the predictor's, with its scale.
        declared: what Serve was given last, of all applications; where it has the predictor, only the scale of that changes.
    """
    (predictor,) = wanted.applications
    others = [each for each in declared if each.name != PREDICTOR]
    mine = next((each for each in declared if each.name == PREDICTOR), predictor)
    scaled = mine.model_copy(update={"deployments": predictor.deployments})
    return ServeDeploySchema(applications=[*others, scaled])


def describe(plan: PredictorPlan, most_replicas: int) -> ServeDeploySchema:
    """The predictor in the words of Serve's declarative configuration. Only the scale is outside of what replaces replicas."""
    scale = DeploymentSchema(name=PREDICTOR, autoscaling_config=choose_scale(plan.settings, most_replicas))
    application = ServeApplicationSchema(
        name=PREDICTOR,
        route_prefix=None,
        import_path=_IMPORT_PATH,
        args=plan.model_dump(mode="json"),
        deployments=[scale],
    )
    return ServeDeploySchema(applications=[application])


def _run_predictor(plan: PredictorPlan, most_replicas: int) -> None:
    """Deploy the predictor beside what else runs in an adopted Ray; an earlier one goes first, since both would not fit."""
    if PREDICTOR in serve.status().applications:
        serve.delete(PREDICTOR)
    application = bind_predictor(plan, choose_scale(plan.settings, most_replicas))
    target = serve.RunTarget(target=application, name=PREDICTOR, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)
