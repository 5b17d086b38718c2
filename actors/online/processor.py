"""What the device can compute in."""

from pathlib import Path
from typing import Final

import torch

_PROCESSORS: Final = Path("/proc/cpuinfo")
#: Without one of these the processor computes bfloat16 by way of float32, several times slower than float32 itself.
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BFLOAT16_FLAGS & _processor_flags())


def _processor_flags() -> frozenset[str]:
    """Read what Linux tells of the first processor; nothing where it does not tell."""
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))
