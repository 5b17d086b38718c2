"""What Serve is told of the predictor: what is fixed for the life of the service, and what may change while it runs. Knows no Ray."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from actors.core.model import DeviceKind
from actors.core.serving import ServingAllowance
from actors.core.units import UNITS_PER_DEVICE, fraction_from_units
from configs.settings import Settings

#: How often the ingress says how much it has under way, and over what time that is averaged, in seconds.
METRICS_EVERY_S: Final = 0.5
METRICS_MEAN_S: Final = 2.0


class PredictorPlan(BaseModel):
    """What is fixed about the predictor for the life of the service; another plan would replace every replica.

    Attributes:
        settings: of the service.
        kind: of the devices that replicas go to.
        replica_units: the part of its device that one replica has.
        device_cores: what that is a part of, on a CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Settings
    kind: DeviceKind
    replica_units: int
    device_cores: int = 0

    def resources(self) -> dict[str, float]:
        """What Ray counts for one replica."""
        if self.kind is DeviceKind.GPU:
            return {"num_gpus": fraction_from_units(self.replica_units), "num_cpus": 0}
        return {"num_cpus": round(self.replica_units * self.device_cores / UNITS_PER_DEVICE, 4)}


def choose_plan(settings: Settings, allowance: ServingAllowance) -> PredictorPlan:
    """What is fixed about the predictor of a service whose devices allow this."""
    return PredictorPlan(
        # Serve shows what it was given, and a database's URL may hold a password; replicas use no store.
        settings=settings.model_copy(update={"store_url": ""}),
        kind=allowance.kind,
        replica_units=allowance.replica_units,
        device_cores=allowance.device_cores,
    )


def choose_scale(settings: Settings, most_replicas: int) -> dict[str, Any]:
    """The part of the predictor's options that may change while it runs: how many replicas there are, and when.

    Args:
        settings: of the service.
        most_replicas: what the devices carry now.
    """
    most = max(1, min(most_replicas, settings.serving_max_replicas or most_replicas))
    return {
        "min_replicas": min(settings.serving_min_replicas, most),
        "max_replicas": most,
        "target_ongoing_requests": settings.serving_target_ongoing,
        "upscale_delay_s": settings.serving_up_delay_s,
        "downscale_delay_s": settings.serving_down_delay_s,
        "metrics_interval_s": METRICS_EVERY_S,
        "look_back_period_s": METRICS_MEAN_S,
    }
