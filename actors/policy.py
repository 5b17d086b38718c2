"""The scheduler's fixed rules, as the settings give them."""

from actors.core.model import DeviceKind, Policy, WorkKind
from configs.settings import Settings


def build_policy(settings: Settings) -> Policy:
    """Turn the settings into the scheduler's fixed rules."""
    limits = {
        (DeviceKind.GPU, WorkKind.TRAINING): settings.max_training_concurrent_gpu,
        (DeviceKind.GPU, WorkKind.INFERENCE): settings.max_inference_concurrent_gpu,
        (DeviceKind.CPU, WorkKind.TRAINING): settings.max_training_concurrent_cpu,
        (DeviceKind.CPU, WorkKind.INFERENCE): settings.max_inference_concurrent_cpu,
        (DeviceKind.CPU, WorkKind.PREPROCESSING): settings.max_preprocessing_concurrent_cpu,
    }
    return Policy(
        default_limits=limits,
        patience_s=settings.patience_s,
        lease_ttl_s=settings.lease_ttl_s,
        # The supervisor ends what does not stop in time; only a holder that nobody looks after lingers for longer.
        revoke_grace_s=2 * settings.stop_grace_s + settings.lease_ttl_s,
    )
