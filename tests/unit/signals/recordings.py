"""Makes small recordings of every kind, byte by byte and without the code under test."""

import io
import json
import struct
import tarfile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

#: name of a datatype -> (numpy's of one value, the value of full scale, the offset of zero)
DATATYPES = {
    "cf32_le": ("<f4", 1.0, 0.0),
    "cf32_be": (">f4", 1.0, 0.0),
    "cf64_le": ("<f8", 1.0, 0.0),
    "cf64_be": (">f8", 1.0, 0.0),
    "ci32_le": ("<i4", 2.0**31, 0.0),
    "ci32_be": (">i4", 2.0**31, 0.0),
    "ci16_le": ("<i2", 2.0**15, 0.0),
    "ci16_be": (">i2", 2.0**15, 0.0),
    "ci8": ("i1", 2.0**7, 0.0),
    "cu32_le": ("<u4", (2.0**32 - 1) / 2, (2.0**32 - 1) / 2),
    "cu32_be": (">u4", (2.0**32 - 1) / 2, (2.0**32 - 1) / 2),
    "cu16_le": ("<u2", (2.0**16 - 1) / 2, (2.0**16 - 1) / 2),
    "cu16_be": (">u2", (2.0**16 - 1) / 2, (2.0**16 - 1) / 2),
    "cu8": ("u1", 127.5, 127.5),
}


def make_samples(count, seed=1):
    """Samples whose parts lie in (-1, 1)."""
    parts = np.random.default_rng(seed).uniform(-0.99, 0.99, 2 * count)
    return (parts[0::2] + 1j * parts[1::2]).astype(np.complex64)


def cut(samples, recipe):
    """The frames of a recording in memory, which is at the recipe's rate and no shorter than one."""
    return sliding_window_view(samples, recipe.frame_samples)[:: recipe.frame_starts(len(samples)).step]


def encode(samples, datatype):
    """The bytes of samples, and what may at most be lost."""
    dtype, scale, middle = DATATYPES[datatype]
    values = np.empty(2 * len(samples))
    values[0::2], values[1::2] = samples.real, samples.imag
    if "f" in datatype:
        return values.astype(dtype).tobytes()
    return np.round(values * scale + middle).astype(dtype).tobytes()


def step_of(datatype):
    """The distance of two neighbouring values."""
    return 1e-7 if "f" in datatype else max(1 / DATATYPES[datatype][1], 1e-7)


def sigmf_meta(datatype="cf32_le", *, rate=1e6, captures=({"core:sample_start": 0},), annotations=(), **fields):
    head = {"core:datatype": datatype, "core:version": "1.2.0", "core:sample_rate": rate}
    head |= {f"core:{name}": value for name, value in fields.items()}
    head = {name: value for name, value in head.items() if value is not None}
    return json.dumps({"global": head, "captures": list(captures), "annotations": list(annotations)}).encode()


def write_sigmf(folder, name, data, **options):
    (folder / f"{name}.sigmf-meta").write_bytes(sigmf_meta(**options))
    (folder / f"{name}.sigmf-data").write_bytes(data)
    return folder / f"{name}.sigmf-meta"


def write_archive(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def chunk(name, content, *, size=None):
    return name + struct.pack("<I", len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def wav_format(*, encoding=1, channels=2, rate=2_000_000, bits=16):
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", encoding, channels, rate, rate * block, block, bits))


def wav(data, *, extra=b"", data_size=None, **options):
    body = b"WAVE" + wav_format(**options) + extra + chunk(b"data", data, size=data_size)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def rf64(data, **options):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(data), 0, 0))
    body = b"WAVE" + ds64 + wav_format(**options) + chunk(b"data", data, size=0xFFFFFFFF)
    return b"RF64" + struct.pack("<I", 0xFFFFFFFF) + body


def auxi(center):
    return chunk(b"auxi", b"\0" * 32 + struct.pack("<I", center) + b"\0" * 28)
