"""RFUAV's pictures as scipy, matplotlib and Pillow make them, written anew from their description."""

import io
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from scipy import signal

mpl.use("agg")
from matplotlib import pyplot as plt


def stft_levels(samples, points=1024, rate=1e6):
    window = signal.windows.hamming(points)
    _, _, spectrum = signal.stft(samples, rate, window=window, nperseg=points, return_onesided=False)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.abs(np.fft.fftshift(spectrum, axes=0)))


def waterfall_levels(samples, points=256):
    rows = samples[: len(samples) // points * points].reshape(-1, points) * np.hanning(points)
    with np.errstate(divide="ignore"):
        return np.log10(np.abs(np.fft.fftshift(np.fft.fft(rows), axes=1))).T


def picture(levels, size=(1920, 1440)):
    figure = plt.figure(figsize=(size[0] / 300, size[1] / 300))
    plt.imshow(levels, cmap="jet", origin="lower", aspect="auto", interpolation_stage="data")
    plt.axis("off")
    plt.subplots_adjust(left=0, right=1, bottom=0, top=1)
    buffer = io.BytesIO()
    plt.savefig(buffer, dpi=300)
    plt.close(figure)
    drawn = Image.open(buffer).convert("RGB")
    assert drawn.size == size
    return drawn


def network_input(drawn, side=224):
    small = drawn.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 255


def data_folder():
    found = Path(os.environ.get("RFUAV_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
    if not found.is_dir():
        pytest.skip("no test data: set RFUAV_TEST_DATA")
    return found


def ism(name, samples=32_768):
    levels = np.fromfile(min(data_folder().glob(f"ism/{name}/*.cu8")), np.uint8)[: 2 * samples].astype(np.float32)
    return ((levels - 127.5) / 127.5).view(np.complex64)


def dji():
    return np.fromfile(data_folder() / "dji_droneid" / "mavic_air_2.sigmf-data", "<c8")


def synthetic(samples):
    """A tone that swings and comes and goes, over noise."""
    rng, times = np.random.default_rng(1), np.arange(samples)
    noise = rng.normal(size=samples) + 1j * rng.normal(size=samples)
    tone = np.exp(2j * np.pi * (0.1 * times + 0.1 * samples * np.sin(times / samples * 3) / 3))
    return (0.05 * noise + (np.sin(2 * np.pi * times / samples * 7) > 0) * tone).astype(np.complex64)
