"""What messages may tell of the machine's disk."""

from pathlib import Path

import pytest

from actors.redaction import hide_paths

ROOTS = (Path("/tmp/data"), Path("/tmp/my pictures"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("there is no file at /home/ann/.cache/torch/w.pth", "there is no file at .../w.pth"),
        ("[Errno 2] No such file: '/etc/secret/key'", "[Errno 2] No such file: '.../key'"),
        ("a:/etc/x, (/usr/lib/y) and /tmp/other/", "a:.../x, (.../y) and .../other"),
        ("cannot read /tmp/data/train/a.png", "cannot read /tmp/data/train/a.png"),
        ("cannot read /tmp/my pictures/a.png", "cannot read /tmp/my pictures/a.png"),
        ("cannot read '/tmp/data'", "cannot read '/tmp/data'"),
        ("cannot read /tmp/database/a.png", "cannot read .../a.png"),
        ("cannot read /tmp/data-old/a.png", "cannot read .../a.png"),
        ("fetched from https://download.pytorch.org/models/", "fetched from https://download.pytorch.org/models/"),
        ("GET /api/v1/info lists the models; 3/4 of a/b", "GET /api/v1/info lists the models; 3/4 of a/b"),
        ("relative data/train stays, and / too", "relative data/train stays, and / too"),
        ("", ""),
    ],
)
def test_only_paths_inside_the_roots_are_told_in_full(text, shown):
    assert hide_paths(text, ROOTS) == shown


def test_without_roots_every_path_is_shortened():
    assert hide_paths("at /tmp/data/a.png", ()) == "at .../a.png"


@pytest.mark.parametrize("text", ["/tmp/" + "x" * 100_000, "/tmp/\0", "/" * 10_000, "/" + "y" * 5_000])
def test_no_text_is_too_odd(text):
    assert len(hide_paths(text, ROOTS)) <= len(text)
