"""Where each part of the service says which process it is.

A part writes ``STATE/run/<name>.json`` with its pid and that process's start time as its first act, so that it can be found (and,
if it is silent, ended) without its cooperation. The start time tells a process from a later one with the same pid.
"""

import contextlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from actors.clock import SystemClock
from actors.notes import read_note, write_note
from actors.part_life import note_start


@dataclass(frozen=True, slots=True)
class Presence:
    """One process.

    Attributes:
        pid: its number; with ``created`` it names the process for ever, so the rest takes no part in comparisons.
        created: when it started, in seconds since the epoch.
        group: the process group that it leads, which outlives it while others are in it; 0 if it leads none.
        session: the session that the group lies in.
    """

    pid: int
    created: float
    group: int = field(default=0, compare=False)
    session: int = field(default=0, compare=False)

    def process(self) -> psutil.Process | None:
        """The live process, or None if it is gone (or its pid belongs to another one now)."""
        try:
            process = psutil.Process(self.pid)
            # It may end between any two of these questions.
            is_same = abs(process.create_time() - self.created) < 0.05
            is_alive = is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if is_alive else None


def own_presence() -> Presence:
    """The calling process, with the group that it leads."""
    pid = os.getpid()
    return Presence(pid, psutil.Process().create_time(), pid if os.getpgrp() == pid else 0, os.getsid(0))


def announce(state_dir: Path, name: str) -> Presence:
    """Write down that the calling process is the part ``name``, and that it has begun just now."""
    presence = own_presence()
    write_note(_path(state_dir, name), asdict(presence))
    note_start(state_dir, name, pid=presence.pid, at=SystemClock().now())
    return presence


def show_life(state_dir: Path, name: str) -> None:
    """Say that the part ``name`` still does its work; for one that nobody can ask."""
    with contextlib.suppress(OSError):
        os.utime(_path(state_dir, name))


def shown_at(state_dir: Path, name: str) -> float | None:
    """When the part ``name`` announced itself or showed its life last; None if it never did."""
    try:
        return _path(state_dir, name).stat().st_mtime
    except OSError:
        return None


def find(state_dir: Path, name: str) -> Presence | None:
    """Who announced itself last as ``name``; None if nobody did, or the note cannot be read."""
    try:
        return Presence(**read_note(_path(state_dir, name)))
    except TypeError:
        return None


def _path(state_dir: Path, name: str) -> Path:
    return state_dir / "run" / f"{name}.json"
