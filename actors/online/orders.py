"""What a replica of the predictor is asked, and what it answers. Plain values, which cross Ray; importing them costs no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actors.core.tasks import Compact
from actors.learning.prediction_files import Prediction
from actors.registry.records import LoadReport, Precision, ServedVersion

#: What a class is called where the best one is less likely than the version's threshold.
UNKNOWN_CLASS = "unknown"
#: More than any version has.
ALL_CLASSES = 1_000_000


@dataclass(frozen=True, slots=True)
class Content(Compact):
    """One file of a request.

    Invariant: either ``data`` holds it, or ``path`` names it on a disk that replicas see; who ordered removes that file.

    Attributes:
        file: how the answer names it.
        kind: what it holds; a recording needs a model with a recipe.
        data: its bytes.
        path: where it lies; its ending tells what a recording's container is.
        datatype: of raw samples, as SigMF names it; None where the file tells.
        sample_rate: in Hz, of recordings that do not tell.
        center_frequency: in Hz, of recordings that do not tell.
    """

    file: str
    kind: Literal["picture", "recording"]
    data: bytes = field(default=b"", repr=False)
    path: Path | None = None
    datatype: str | None = None
    sample_rate: float | None = None
    center_frequency: float | None = None


@dataclass(frozen=True, slots=True)
class PredictOrder(Compact):
    """Files to predict with one version.

    Attributes:
        model: the version; the answer comes from this one, or with ``may_follow`` from the one that takes its place.
        contents: at least one.
        top_k: most classes told of each picture or frame; ALL_CLASSES for all that the version has.
        timeout_s: what is later than this is dropped before the forward pass; counts from the order's arrival. None: never late.
        may_follow: the caller named an alias, so during a swap without room for both the new version may answer.
        spectrogram: whether the answer has a picture of each recording.
    """

    model: ServedVersion
    contents: tuple[Content, ...]
    top_k: int = 5
    timeout_s: float | None = None
    may_follow: bool = False
    spectrogram: bool = False


@dataclass(frozen=True, slots=True)
class TensorOrder(Compact):
    """A batch that is ready for the network: values in 0..1 of shape (n, 3, image_size, image_size), float32. The rest as PredictOrder."""

    model: ServedVersion
    inputs: NDArray[np.float32] = field(repr=False)
    timeout_s: float | None = None
    may_follow: bool = False


@dataclass(frozen=True, slots=True)
class Timing(Compact):
    """Where the time of an answer went, in seconds; of several batches the sums.

    Attributes:
        queue_s: waiting for the forward thread.
        preprocess_s: decoding, or making pictures of samples.
        forward_s: in the network, with everything that shared the batch.
        batch_sizes: of the forward passes that this answer took part in.
    """

    queue_s: float
    preprocess_s: float
    forward_s: float
    batch_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SpectrogramPicture(Compact):
    """A whole recording as a picture: from its first second to its last, and over the band that the recipe looks at.

    Attributes:
        file: the recording, as the answer names it.
        png: the picture, without axes.
        width, height: in pixels.
        duration_s: what the width stands for.
        center_frequency: of the band, in Hz; None where nobody told it.
        sample_rate: the width of the band, in Hz; the highest frequency is on top.
    """

    file: str
    png: bytes = field(repr=False)
    width: int
    height: int
    duration_s: float
    center_frequency: float | None
    sample_rate: float


@dataclass(frozen=True, slots=True)
class PredictAnswer(Compact):
    """Predictions of one version, in the order of the contents and of their frames; confidences are percent."""

    name: str
    version: int
    device: str
    precision: Precision
    replica_id: str
    predictions: tuple[Prediction, ...]
    timing: Timing
    #: Whether the device is a simulated GPU, which computes on the CPU.
    simulated: bool = False
    #: As the version says that answered; see ServedVersion.
    unknown_below: float | None = None
    spectrograms: tuple[SpectrogramPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorAnswer(Compact):
    """Probabilities of shape (n, classes), float32."""

    name: str
    version: int
    probabilities: NDArray[np.float32] = field(repr=False)
    timing: Timing


@dataclass(frozen=True, slots=True)
class PrepareOrder:
    """Load a version and check it on its golden inputs.

    Attributes:
        model: the version.
        instead_of: where both do not fit, this one may be freed first, and requests that may follow go to the new one.
        only_replica: the one that is meant, "" for all; others answer with ``state`` "passed_over".
    """

    model: ServedVersion
    instead_of: ServedVersion | None = None
    only_replica: str = ""


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What became of it in one replica.

    Attributes:
        replica_id: of the replica.
        state: ready; no_room: both versions do not fit, and nothing was freed; failed: it cannot be loaded, or its check failed;
            passed_over: another replica was meant.
        reason: why not ready.
        load: what was chosen; None unless ready.
    """

    replica_id: str
    state: Literal["ready", "no_room", "failed", "passed_over"]
    reason: str = ""
    load: LoadReport | None = None
