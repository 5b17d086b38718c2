"""Says as one JSON object what torch is and which GPUs it can compute on. Run as a program, so that a broken import ends a child only."""

import json
import sys


def main() -> int:
    """Import torch, try every GPU with one addition, print the report."""
    import torch  # noqa: PLC0415 (the import is what is checked)

    # As the service imports it: torchvision's build for CUDA cannot be imported plainly beside a torch for the CPU only.
    from actors.learning import vision  # noqa: F401, PLC0415

    torchvision = sys.modules["torchvision"]
    gpus = [_try_gpu(index) for index in range(torch.cuda.device_count())]
    report = {"torch": torch.__version__, "torchvision": torchvision.__version__, "cuda": torch.version.cuda, "gpus": gpus}
    print(json.dumps(report))
    return 0


def _try_gpu(index: int) -> str:
    """Why a GPU cannot be computed on; "" where it can."""
    import torch  # noqa: PLC0415

    try:
        torch.ones(1, device=f"cuda:{index}").add_(1).item()
    except RuntimeError as error:
        return str(error).splitlines()[0] or type(error).__name__
    return ""


if __name__ == "__main__":
    sys.exit(main())
