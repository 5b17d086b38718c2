"""Files made to do harm to whoever reads them. Each builder writes one file; what would run code leaves a canary."""

import json
import pickle
import struct
import zlib
from pathlib import Path


class Payload:
    """Unpickled without care, it touches the canary."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self):
        return Path.touch, (self._canary,)


def pickle_that_runs(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": Payload(canary)}))


def yaml_that_runs(path: Path, canary: Path) -> None:
    path.write_text(f'model: !!python/object/apply:os.system ["touch {canary}"]\n')


def yaml_of_a_billion_laughs(path: Path) -> None:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path.write_text("\n".join(lines))


def yaml_of_masses(path: Path) -> None:
    path.write_text("class_names: [" + "1," * 400_000 + "1]\n")


def yaml_of_depth(path: Path) -> None:
    path.write_text("model: " + "[" * 200_000)


def safetensors_that_lie(path: Path) -> None:
    """The header says that it is exabytes long."""
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")


def safetensors_of_nothing(path: Path) -> None:
    """The header tells of a tensor that the file does not hold."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def png_of(width: int, height: int, *, data: bytes = b"", extra: bytes = b"") -> bytes:
    """A grey PNG that says it is so large, with any data."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def huge_png_header(path: Path) -> None:
    path.write_bytes(png_of(60_000, 60_000, data=zlib.compress(b"\0" * 1000)))


def zip_bomb_png(path: Path) -> None:
    """A small picture whose data unpack to a hundred times its pixels."""
    path.write_bytes(png_of(64, 64, data=zlib.compress(b"\0" * 50_000_000, 9)[:-8]))


def png_with_much_text(path: Path) -> None:
    path.write_bytes(png_of(8, 8, extra=_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 100_000_000, 9))))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def outline(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder, links not followed: to be compared with later."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> bytes | str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return path.read_bytes() if path.is_file() else "folder or special"
