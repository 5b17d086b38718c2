"""Turns pictures into class probabilities with a trained network.

Owns the network in its evaluating state, the step from 8-bit pixels to what it was trained on (values from 0 to 1, no
other normalisation), and what to do when memory runs out. It knows nothing of picture files, of tasks or of Ray.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.classify_config import ClassifyConfig
from actors.learning.errors import GpuOutOfMemoryError, WeightsError
from actors.learning.zoo import build_model, load_weights

_MORE_MEMORY: Final = "Give the task more GPU memory, or run it on cpu."

#: Ranked classes with their probabilities, best first.
Ranking = tuple[tuple[str, float], ...]
#: Pictures as ``Predictor.predict`` takes them.
Inputs = NDArray[np.uint8] | Tensor


class Predictor:
    """A network that only predicts.

    Invariant: the network is in evaluation mode on ``device`` and has one output per name in ``class_names``.
    """

    def __init__(self, model: nn.Module, class_names: Sequence[str], *, image_size: int, device: torch.device) -> None:
        self._model = model.to(device).eval()
        self.class_names = tuple(class_names)
        self.image_size = image_size
        self.device = device

    def predict(self, batch: Inputs) -> NDArray[np.float32]:
        """Compute the probability of each class for each picture.

        Args:
            batch: RGB pixels of shape (n, image_size, image_size, 3); or values in 0..1 of shape
                (n, 3, image_size, image_size), as spectrograms are made.

        Returns:
            Probabilities from 0 to 1 of shape (n, classes); each row sums to 1.

        Raises:
            WeightsError: the network answers with no finite numbers.
            torch.OutOfMemoryError: the batch does not fit into the device's memory.
        """
        with torch.inference_mode():
            outputs = self._model(self._on_device(batch))
            probabilities: NDArray[np.float32] = torch.softmax(outputs.float(), dim=1).cpu().numpy()
        if not np.isfinite(probabilities).all():
            raise WeightsError("the network answers with values that are no numbers", "Its training diverged: retrain.")
        return probabilities

    def _on_device(self, batch: Inputs) -> Tensor:
        """Bring a batch to the device, as values in 0..1."""
        if isinstance(batch, Tensor):
            return batch.to(self.device)
        # Bytes travel to the device and become floats there: a quarter of the traffic.
        return torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)

    def top(self, probabilities: NDArray[np.float32], k: int = 5) -> list[Ranking]:
        """Rank the ``k`` most probable classes of each row; of equals the one with the smaller index comes first.

        Args:
            probabilities: Shape (n, classes), as ``predict`` returns them.
            k: How many; all where there are fewer classes.
        """
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return [
            tuple((self.class_names[index], float(row[index])) for index in order)
            for row, order in zip(probabilities, best, strict=True)
        ]


def in_percent(ranking: Ranking) -> Ranking:
    """Put a ranking into percent; the fourth decimal is a ten-thousandth of a percent."""
    return tuple((name, round(100.0 * probability, 4)) for name, probability in ranking)


class PartedForward:
    """Feeds batches to a predictor, in smaller parts once the device's memory ran out.

    Invariant: the most pictures per pass only ever shrinks, and never below one.
    """

    def __init__(self, predictor: Predictor, limit: int, *, warn: Callable[[str], None]) -> None:
        self._predictor = predictor
        self._limit = limit
        self._warn = warn

    def __call__(self, batch: Inputs) -> NDArray[np.float32]:
        """Compute the probabilities of a batch of any size, as ``Predictor.predict`` does.

        Raises:
            GpuOutOfMemoryError: Not even a single picture fits.
            WeightsError: As ``Predictor.predict``.
        """
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(batch):
            part = self._try(batch[done : done + self._limit])
            if part is None:
                self._shrink(min(self._limit, len(batch) - done))
            else:
                parts.append(part)
                done += len(part)
        return np.concatenate(parts)

    def _try(self, part: Inputs) -> NDArray[np.float32] | None:
        """Run one pass; None where it does not fit. The exception, which holds the pass's tensors, ends here."""
        try:
            return self._predictor.predict(part)
        except torch.OutOfMemoryError:
            return None

    def _shrink(self, attempted: int) -> None:
        """Halve the pictures per pass, down to one."""
        if attempted == 1:
            problem = f"a single picture of {self._predictor.image_size} pixels a side does not fit into the memory"
            raise GpuOutOfMemoryError(problem, _MORE_MEMORY)
        torch.cuda.empty_cache()
        self._limit = attempted // 2
        self._warn(f"{attempted} pictures at once do not fit into the device's memory; going on with {self._limit}")


def load_predictor(
    config: ClassifyConfig, weight_path: Path, *, device: str, threads: int, roots: DataRoots = ANYWHERE
) -> Predictor:
    """Build the configured network, fill it from a weights file and put it on a device.

    Args:
        config: The architecture and what its outputs stand for.
        weight_path: A .pth or .safetensors state dict.
        device: ``cpu``, ``cuda`` or ``cuda:N``, as torch names it within this process.
        threads: How many threads torch may use in this process.
        roots: Where the weights must lie, links followed.

    Raises:
        OutsideRootsError: The weights lie elsewhere.
        WeightsError: The file is missing or damaged, or of another architecture or number of classes.
        GpuOutOfMemoryError: The network does not fit into the device's memory.
    """
    torch.set_num_threads(threads)
    model = build_model(config.model, config.num_classes)
    load_weights(model, weight_path, expected_classes=config.num_classes, roots=roots)
    try:
        return Predictor(model, config.class_names, image_size=config.image_size, device=torch.device(device))
    except torch.OutOfMemoryError as error:
        raise GpuOutOfMemoryError(f"{config.model} does not fit into the memory of {device}", _MORE_MEMORY) from error
