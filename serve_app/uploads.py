"""A file on its way into a data root.

Owns that nobody ever sees half of it: it is written under a hidden name in a folder that is held open, and gets its own name in one
step at the end. Nothing of it is left where that does not come. All but ``receive`` blocks: call it in a thread.
"""

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import Final

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from actors.core.errors import SubmissionError
from actors.files.data_roots import DataRoots, OutsideRootsError
from actors.files.disk_room import require_room
from actors.paths import resolve_inside
from configs.settings import Settings
from serve_app.file_work import in_file_thread
from serve_app.http_errors import RequestRefusedError
from serve_app.receiving import BLOCK_BYTES, BodyLimit, body_chunks, disk_full, is_full
from serve_app.schemas.fields import PlainName

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAFT_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME: Final = TypeAdapter(PlainName)


class Upload:
    """One file between its first byte and its name.

    Invariant: until ``publish``, only a hidden draft exists, which ``close`` removes. Every step goes through an open folder, so that
    exchanging a folder for a link meanwhile leads nowhere.
    """

    def __init__(self, text: str, roots: DataRoots, *, is_overwriting: bool) -> None:
        """Make the draft.

        Args:
            text: the path of the file to be, as a request names it.
            roots: where it must lie.
            is_overwriting: whether a file of that name may be replaced.

        Raises:
            SubmissionError: the path leads out of the roots, names something hidden or no file.
            RequestRefusedError: something is there already; no room is left; the folder may not be written.
        """
        self.target = resolve_inside(text, "path", roots)
        _check_names(self.target, text, roots)
        self._is_overwriting = is_overwriting
        self._draft = f".upload-{secrets.token_hex(8)}.part"
        try:
            self._check_free()
            base = next(each for each in self.target.parents if each.exists())
            self._missing = self.target.parent.relative_to(base).parts
            self._folder = os.open(base, _FOLDER_FLAGS)
            try:
                self._require_inside(base, roots)
                self._file = os.fdopen(os.open(self._draft, _DRAFT_FLAGS, 0o644, dir_fd=self._folder), "wb")
            except BaseException:
                os.close(self._folder)
                raise
        except OSError as error:
            raise self._refusal(error) from error

    def check_room(self, size_bytes: int) -> None:
        """Refuse what does not fit before it is sent, with what the store and the logs may need. Raises RequestRefusedError."""
        try:
            require_room(self._folder, size_bytes)
        except OSError as error:
            raise self._refusal(error) from None

    def write(self, block: bytes) -> None:
        """Append to the draft. Raises RequestRefusedError where no room is left."""
        try:
            self._file.write(block)
        except OSError as error:
            raise self._refusal(error) from error

    def publish(self) -> None:
        """Make it durable and give it its name. Raises RequestRefusedError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            folder = self._make_folders()
            try:
                self._give_name(folder)
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """Remove what is left of the draft."""
        try:
            self._file.close()
        except OSError:
            pass  # what was not written yet found no room: the draft goes anyway
        finally:
            try:
                os.unlink(self._draft, dir_fd=self._folder)
            except FileNotFoundError:
                pass
            finally:
                os.close(self._folder)

    def _make_folders(self) -> int:
        """Make the folders that are missing, and open the last of them."""
        folder = os.dup(self._folder)
        for name in self._missing:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            try:
                inner = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
            finally:
                os.close(folder)
            folder = inner
        return folder

    def _give_name(self, folder: int) -> None:
        if self._is_overwriting:
            self._rename(folder)
            return
        try:  # unlike a rename, a link fails where the name is taken
            os.link(self._draft, self.target.name, src_dir_fd=self._folder, dst_dir_fd=folder)
        except PermissionError:  # a file system without second names for a file
            self._check_free()
            self._rename(folder)

    def _rename(self, folder: int) -> None:
        # Path knows nothing of open folders.
        os.replace(self._draft, self.target.name, src_dir_fd=self._folder, dst_dir_fd=folder)

    def _check_free(self) -> None:
        if self.target.is_dir():
            raise RequestRefusedError(409, "path_exists", f"{self.target.name!r} is a folder")
        if self.target.exists() and not self._is_overwriting:
            raise RequestRefusedError(409, "path_exists", f"{self.target.name!r} exists; add overwrite=true to replace it")

    def _require_inside(self, base: Path, roots: DataRoots) -> None:
        """Make sure that the open folder is the one that was checked."""
        expected, opened = roots.locate(base).stat(), os.fstat(self._folder)
        if (expected.st_dev, expected.st_ino) != (opened.st_dev, opened.st_ino):
            raise OutsideRootsError(f"{base} was exchanged while it was opened", "Try again.")

    def _refusal(self, error: OSError) -> RequestRefusedError:
        """Say in the user's words why the file could not be written."""
        name = self.target.name
        if is_full(error):
            return disk_full(name)
        if isinstance(error, FileExistsError):
            return RequestRefusedError(409, "path_exists", f"{name!r} exists; add overwrite=true to replace it")
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            return RequestRefusedError(403, "path_forbidden", f"the service may not write the folder of {name!r}")
        return RequestRefusedError(409, "path_exists", f"{name!r} cannot be put there: {error.strerror}")


def upload_limit(settings: Settings) -> BodyLimit:
    """How large an uploaded file may be."""
    return BodyLimit(settings.max_upload_mb << 20, "an upload", "RFUAV_MAX_UPLOAD_MB")


async def receive(request: Request, upload: Upload, *, limit: BodyLimit) -> None:
    """Write a request's body into an upload.

    Raises:
        RequestRefusedError: it is too large, stops coming, or finds no room.
    """
    buffer = bytearray()
    async for chunk in body_chunks(request, limit):
        buffer += chunk
        if len(buffer) >= BLOCK_BYTES:
            await in_file_thread(upload.write, bytes(buffer))
            buffer.clear()
    await in_file_thread(upload.write, bytes(buffer))


def _check_names(target: Path, text: str, roots: DataRoots) -> None:
    """Refuse hidden names, and names that no plain file or folder should have."""
    depths = (len(folder.parts) for folder in roots.folders if target.is_relative_to(folder))
    parts = target.parts[max(depths) :]
    if not parts:
        raise SubmissionError("invalid_path", "path", f"{text!r} is a data root", "name a file in it")
    if any(part.startswith(".") for part in parts):
        raise SubmissionError("path_forbidden", "path", f"{text!r} names something hidden", "use names without a leading dot")
    try:
        for part in parts:
            _NAME.validate_python(part)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SubmissionError("invalid_path", "path", f"{text!r}: {reason}", "rename it") from None
