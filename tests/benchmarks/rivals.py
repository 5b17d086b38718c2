"""Another way to serve the same weights, to be measured beside: ``python -m tests.benchmarks.rivals KIND PORT WEIGHTS CLASSES THREADS``.

``fastapi`` is a plain program of FastAPI and uvicorn; ``reload`` the same, which reads the weights anew for each request, as the origin
does. Both decode with Pillow and run the network as it is.
"""

import io
import sys
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from actors.learning.zoo import build_model

SIDE = 224


class Classifier:
    """A network in plain torch, and the way from a JPEG to its input."""

    def __init__(self, weights: str, classes: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._weights, self._classes = weights, classes
        self.reload()

    def reload(self) -> None:
        """Read the weights from the file."""
        self._model: nn.Module = build_model("resnet18", self._classes)
        self._model.load_state_dict(torch.load(self._weights, weights_only=True))
        self._model.eval()

    def decode(self, body: bytes) -> Tensor:
        """Turn a JPEG into values in 0..1 of shape (3, 224, 224)."""
        square = Image.open(io.BytesIO(body)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(square)).permute(2, 0, 1).float().div_(255.0)

    def predict(self, batch: Tensor) -> list[dict[str, Any]]:
        """Tell the best class of each picture."""
        with torch.inference_mode():
            best = torch.softmax(self._model(batch), dim=1).max(dim=1)
        return [{"class": int(index), "confidence": float(value)} for value, index in zip(best.values, best.indices, strict=True)]


def serve_fastapi(classifier: Classifier, port: int, *, reloads: bool) -> None:
    """Serve with FastAPI and uvicorn."""
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool

    app = FastAPI()

    def work(body: bytes) -> dict[str, Any]:
        if reloads:
            classifier.reload()
        return classifier.predict(classifier.decode(body)[None])[0]

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(work, await request.body())

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def main() -> None:
    kind, port, weights, classes, threads = sys.argv[1:6]
    serve_fastapi(Classifier(weights, int(classes), int(threads)), int(port), reloads=kind == "reload")


if __name__ == "__main__":
    main()
