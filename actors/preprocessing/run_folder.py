"""The output folder of a run: whose it is, and what in it is done already.

Owns the manifest ``preprocessing.json`` and the rules by which a folder may be used. A run writes its manifest before its
first file, and every file appears whole or not at all; so the files themselves tell what is done, after a stop and after a
crash, and no journal can disagree with them. A folder is never emptied or overwritten: one that holds another run, or
files where this run would put its own, is refused.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from actors.files.atomic import output_error
from actors.files.errors import OutputError
from actors.preprocessing.errors import OutputTakenError
from actors.preprocessing.plan import PublishAll, Surroundings
from actors.preprocessing.sources import SourceTree

MANIFEST_NAME: Final = "preprocessing.json"
_FORMAT: Final = 1
_REMEDY: Final = "Choose another output_path, or remove the folder to begin anew."


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that belongs to one run: one task on one set of files with one set of parameters."""

    folder: Path
    task: str
    #: All that decides what the files hold; the number of threads does not.
    parameters: Mapping[str, Any]
    sources: SourceTree

    def claim(self, names: Mapping[str, int | None], surroundings: Surroundings) -> frozenset[str]:
        """Take the folder for this run, or take up what an earlier attempt left in it.

        Args:
            names: Each file that the run will write, with its size in bytes where that is known beforehand.
            surroundings: How the manifest gets its place.

        Returns:
            Those that are done. One of another size, or an empty one, is not: a power cut can leave such.

        Raises:
            OutputTakenError: The folder holds another run, or a file with one of the names.
            OutputError: The folder cannot be written.
        """
        manifest = self._read_manifest()
        if manifest is None:
            self._refuse_foreign(names)
            self.describe(surroundings, {"status": "running"})
            return frozenset()
        self._refuse_other_run(manifest)
        return frozenset(name for name, size in names.items() if self._is_done(name, size))

    def describe(self, surroundings: Surroundings, state: Mapping[str, Any]) -> None:
        """Write the manifest, with what is known of the run by now.

        Raises:
            OutputError: It cannot be written.
        """
        self.put_text(surroundings, MANIFEST_NAME, json.dumps({**self._identity(), **state}, indent=1))

    def put_text(self, surroundings: Surroundings, name: str, text: str) -> None:
        """Write a small file of text; one of this name is replaced.

        Raises:
            OutputError: It cannot be written.
        """
        staged = surroundings.staging / name
        try:
            surroundings.staging.mkdir(parents=True, exist_ok=True)
            staged.write_text(text, encoding="utf-8")
        except OSError as error:
            raise output_error(staged, error) from error
        publish(surroundings.publish_all, [(staged, name)], self.folder)

    def _identity(self) -> dict[str, Any]:
        """Give what must be equal for two runs to be one."""
        identity = {"format": _FORMAT, "task": self.task, "parameters": self.parameters, "pictures": self.sources.fingerprint()}
        # Through JSON and back, so that it equals what is read: tuples become lists.
        as_read: dict[str, Any] = json.loads(json.dumps(identity))
        return as_read

    def _read_manifest(self) -> dict[str, Any] | None:
        """Read the manifest of an earlier attempt, if there is one."""
        path = self.folder / MANIFEST_NAME
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise OutputError(f"{self.folder} is a file", "Give a folder as output_path.") from error
        except (OSError, ValueError) as error:
            raise OutputTakenError(f"{path} cannot be read: {error}", _REMEDY) from error
        if not isinstance(manifest, dict):
            raise OutputTakenError(f"{path} is no manifest of this service", _REMEDY)
        return manifest

    def _refuse_other_run(self, manifest: Mapping[str, Any]) -> None:
        """Compare a manifest with this run, and name the first difference."""
        ours = self._identity()
        theirs_of, ours_of = (side.get("parameters") or {} for side in (manifest, ours))
        for field in ("format", "task"):
            if manifest.get(field) != ours[field]:
                raise OutputTakenError(f"{self.folder} holds a run with {field} {manifest.get(field)!r}", _REMEDY)
        for field in sorted({*theirs_of, *ours_of}):
            if theirs_of.get(field) != ours_of.get(field):
                theirs, wanted = theirs_of.get(field), ours_of.get(field)
                raise OutputTakenError(f"{self.folder} holds a run with {field} {theirs!r}, not {wanted!r}", _REMEDY)
        if manifest.get("pictures") != ours["pictures"]:
            problem = f"the files of {self.sources.root} came, went or were changed since {self.folder} was begun"
            raise OutputTakenError(problem, _REMEDY)

    def _refuse_foreign(self, names: Iterable[str]) -> None:
        """Refuse a folder without a manifest that has files where ours would go."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            taken = {entry.name for entry in entries}
            # Most often there is nothing, and no name needs a look.
            for name in (name for name in names if name.partition("/")[0] in taken):
                if os.path.lexists(self.folder / name):
                    problem = f"{self.folder / name} is there already, and not from a run of this service"
                    raise OutputTakenError(problem, _REMEDY)

    def _is_done(self, name: str, size: int | None) -> bool:
        """Tell whether a file of this run is in its place and whole."""
        try:
            found = (self.folder / name).stat().st_size
        except OSError:
            return False
        return found > 0 if size is None else found == size


def publish(publish_all: PublishAll, files: list[tuple[Path, str]], folder: Path) -> None:
    """Give finished files their places.

    Raises:
        OutputError: The output folder cannot be written.
    """
    try:
        publish_all(files)
    except OSError as error:
        raise output_error(folder / files[0][1], error) from error
