"""Class folders of small recordings that a network can tell apart in a moment, and trainings on them."""

import numpy as np

from actors.learning.plan import RecordingChoices, TrainingPlan
from tests.unit.signals.recordings import encode

RATE = 16e3
FRAME = 512
SIDE = 32
RECIPE = {"pipeline": "native", "nfft": 32, "frame_duration_s": FRAME / RATE}
AUGMENTATION = {"frequency_roll": 0.5, "time_shift": 0.5, "gain_db": [-3.0, 3.0], "snr_db": [5.0, 30.0]}


def make_signal(kind, samples, seed):
    """Noise, and over it bursts of one frequency, or a tone without an end."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 0.003, (samples, 2)).view(np.complex128)[:, 0]
    places = np.arange(samples)
    is_on = places % 128 < 32 if kind == "bursts" else places >= 0
    return noise + 0.5 * is_on * np.exp(2j * np.pi * random.uniform(-0.4, 0.4) * places)


def write_recording(path, samples, datatype="cf32_le"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.asarray(samples, np.complex64), datatype))
    return path


def write_trees(root, *, train=4, valid=2, frames=4, rate=RATE):
    """Write ``train`` and ``valid`` with two classes of recordings, whose names tell their rate."""
    for number, (tree, count) in enumerate((("train", train), ("valid", valid))):
        for kind in ("bursts", "tones"):
            for index in range(count):
                signal = make_signal(kind, frames * FRAME, seed=100 * number + index)
                write_recording(root / tree / kind / f"{index}_433.92M_{rate / 1e3:g}k.cf32", signal)
    return root


def make_plan(trees, folder, *, augmentation=None, **changes):
    (folder / "out").mkdir(parents=True, exist_ok=True)
    settings = {
        "model": "mobilenet_v3_small",
        "num_classes": 2,
        "train_path": trees / "train",
        "val_path": trees / "valid",
        "output_dir": folder / "out",
        "staging_dir": folder / "staging",
        "batch_size": 5,
        "num_epochs": 2,
        "learning_rate": 1e-3,
        "image_size": SIDE,
        "seed": 11,
        "threads": 1,
        "recordings": RecordingChoices(recipe=RECIPE, augmentation=augmentation),
    }
    return TrainingPlan(**settings | changes)
