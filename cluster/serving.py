"""Deploys the predictor, and lets its ceiling follow the accountant's allowance.

On our own Ray it is deployed by Serve's declarative configuration: applying that again with another scale keeps every replica, and the
ingress. On an adopted Ray that would delete the declarative applications of others, so the predictor is deployed like the ingress,
and its ceiling stays what the devices carried then. Importing this module imports Ray.
"""

import json
import logging
import os
from pathlib import Path
from typing import Final

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

from actors.core.model import DeviceKind
from actors.core.serving import ServingAllowance
from actors.names import ACCOUNTANT, NAMESPACE, PREDICTOR
from configs.settings import Settings
from serve_app.deployment import bind_predictor
from serve_app.predictor_plan import PredictorPlan, choose_scale

_IMPORT_PATH: Final = "serve_app.deployment:build_predictor"
_ANSWER_S: Final = 10.0
_START_S: Final = 90.0

_log = logging.getLogger("rfuav.serving")


class Deployed(BaseModel):
    """What Serve was given: the plan, and the replicas that the devices carried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: PredictorPlan
    most_replicas: int


def deploy_predictor(settings: Settings, *, is_own: bool) -> None:
    """Ask Serve for the predictor, as large as the devices allow; waits for the accountant, and for nothing else.

    Args:
        settings: of the service.
        is_own: whether the Ray is our own.
    """
    allowance = read_allowance(None, timeout_s=_START_S)
    plan = PredictorPlan(
        settings=settings,
        kind=allowance.kind,
        replica_units=allowance.replica_units,
        device_cores=allowance.device_cores,
    )
    if is_own:
        write_deployed(Deployed(plan=plan, most_replicas=allowance.most_replicas))
        apply_plan(plan, allowance.most_replicas)
    else:
        _run_predictor(plan, allowance.most_replicas)


def read_allowance(kind: DeviceKind | None, *, timeout_s: float = _ANSWER_S) -> ServingAllowance:
    """Ask the accountant what the predictor may use.

    Raises:
        ValueError, RayError, TimeoutError: it does not answer.
    """
    accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
    allowance: ServingAllowance = ray.get(accountant.serving_allowance.remote(kind), timeout=timeout_s)
    return allowance


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


class Ceiling:
    """Keeps the predictor's ceiling at what the devices carry.

    Invariant: Serve is asked only when the number is another than the one that it was given last.
    """

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed

    def follow(self) -> None:
        """Look once. Raises what ``read_allowance`` raises."""
        plan, before = self._deployed.plan, self._deployed.most_replicas
        most = read_allowance(plan.kind).most_replicas
        if most != before:
            _log.info("the devices carry %d replicas now, %d before", most, before)
            apply_plan(plan, most)
            self._deployed = Deployed(plan=plan, most_replicas=most)
            write_deployed(self._deployed)


def write_deployed(deployed: Deployed) -> None:
    """Note down what Serve was given, for whoever follows the ceiling."""
    path = _note_path(deployed.plan.settings.state_dir)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(deployed.model_dump(mode="json")), encoding="utf-8")
    draft.replace(path)


def read_deployed(state_dir: Path) -> Deployed | None:
    """What Serve was given for the service of a state folder; None where that was not noted."""
    try:
        return Deployed.model_validate(json.loads(_note_path(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _run_predictor(plan: PredictorPlan, most_replicas: int) -> None:
    """Deploy the predictor beside what else runs in an adopted Ray; an earlier one goes first, since both would not fit."""
    if PREDICTOR in serve.status().applications:
        serve.delete(PREDICTOR)
    application = bind_predictor(plan, choose_scale(plan.settings, most_replicas))
    target = serve.RunTarget(target=application, name=PREDICTOR, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)


def _note_path(state_dir: Path) -> Path:
    return state_dir / "run" / "deployed_predictor.json"
