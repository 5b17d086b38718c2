"""The predictor's ceiling: what Serve was given last, and what the devices carry now. Imports Ray and Serve only where it talks to them."""

import json
import logging
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from actors.core.model import DeviceKind
from actors.core.serving import ServingAllowance
from actors.names import ACCOUNTANT, NAMESPACE
from cluster.private_files import write_private
from serve_app.predictor_plan import PredictorPlan

_ANSWER_S: Final = 10.0

_log = logging.getLogger("rfuav.ceiling")


class Deployed(BaseModel):
    """What Serve was given: the plan, and the replicas that the devices carried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: PredictorPlan
    most_replicas: int


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
            from cluster.serving import apply_plan  # noqa: PLC0415 (Serve takes 100 MB, which the watchdog seldom needs)

            apply_plan(plan, most)
            self._deployed = Deployed(plan=plan, most_replicas=most)
            write_deployed(self._deployed)


def write_deployed(deployed: Deployed) -> None:
    """Note down what Serve was given, for whoever follows the ceiling."""
    write_private(_note_path(deployed.plan.settings.state_dir), json.dumps(deployed.model_dump(mode="json")))


def read_deployed(state_dir: Path) -> Deployed | None:
    """What Serve was given for the service of a state folder; None where that was not noted."""
    try:
        return Deployed.model_validate(json.loads(_note_path(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def read_allowance(kind: DeviceKind | None, *, timeout_s: float = _ANSWER_S) -> ServingAllowance:
    """Ask the accountant what the predictor may use.

    Raises:
        ValueError, RayError, TimeoutError: it does not answer.
    """
    import ray  # noqa: PLC0415 (takes a second)

    accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
    allowance: ServingAllowance = ray.get(accountant.serving_allowance.remote(kind), timeout=timeout_s)
    return allowance


def _note_path(state_dir: Path) -> Path:
    return state_dir / "run" / "deployed_predictor.json"
