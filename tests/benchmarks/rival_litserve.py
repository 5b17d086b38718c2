"""The same weights behind LitServe with batches of 8: ``python -m tests.benchmarks.rival_litserve PORT WEIGHTS CLASSES THREADS``.

LitServe is no dependency of the project: ``pip install --no-deps --target FOLDER litserve pyzmq`` and put the folder on PYTHONPATH.
"""

import sys
from typing import Any

import litserve
from fastapi import Request
from torch import Tensor, stack

from tests.benchmarks.rivals import Classifier


class Api(litserve.LitAPI):
    """The weights, as LitServe wants them; the body comes as a form with one file."""

    def __init__(self, weights: str, classes: int, threads: int) -> None:
        super().__init__(max_batch_size=8, batch_timeout=0.0)
        self._wanted = (weights, classes, threads)

    def setup(self, _device: str) -> None:
        self._classifier = Classifier(*self._wanted)

    def decode_request(self, request: Request) -> Tensor:
        return self._classifier.decode(request["file"].file.read())  # type: ignore[index]

    def batch(self, inputs: list[Tensor]) -> Tensor:
        return stack(inputs)

    def predict(self, batch: Tensor) -> list[dict[str, Any]]:
        return self._classifier.predict(batch)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


def main() -> None:
    port, weights, classes, threads = sys.argv[1:5]
    server = litserve.LitServer(Api(weights, int(classes), int(threads)), accelerator="cpu", devices=1)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
