"""Deploys the predictor, and changes its scale while it runs.

On our own Ray it is deployed by Serve's declarative configuration: applying that again with another scale keeps every replica, and the
ingress. On an adopted Ray that would delete the declarative applications of others, so the predictor is deployed like the ingress,
and its ceiling stays what the devices carried then. Importing this module imports Ray.
"""

from typing import Final

from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

from actors.names import PREDICTOR
from cluster.ceiling import Deployed, read_allowance, write_deployed
from configs.settings import Settings
from serve_app.deployment import bind_predictor
from serve_app.predictor_plan import PredictorPlan, choose_scale

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
    plan = PredictorPlan(
        # Serve shows what it was given, and a database's URL may hold a password; replicas use no store.
        settings=settings.model_copy(update={"store_url": ""}),
        kind=allowance.kind,
        replica_units=allowance.replica_units,
        device_cores=allowance.device_cores,
    )
    if is_own:
        write_deployed(Deployed(plan=plan, most_replicas=allowance.most_replicas))
        apply_plan(plan, allowance.most_replicas)
    else:
        _run_predictor(plan, allowance.most_replicas)


def apply_plan(plan: PredictorPlan, most_replicas: int) -> None:
    """Give Serve the predictor's declarative configuration; what did not change goes on as it is."""
    _get_global_client().deploy_apps(describe(plan, most_replicas))


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
