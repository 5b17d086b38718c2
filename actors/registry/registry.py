"""The model registry: owner of the models of a running service.

Lives in the supervisor's process and answers messages of its own. Whoever follows its table learns of a change at once. It knows neither
replicas nor HTTP: that a version is checked before an alias means it is up to whoever promotes it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar, assert_never

from actors.clock import Clock
from actors.core.errors import ModelNotFoundError, StoreUnavailableError
from actors.core.tasks import Task
from actors.files.data_roots import DataRoots
from actors.files.errors import OutputError
from actors.paths import build_data_roots, models_folder
from actors.registry.files import ModelFiles
from actors.registry.intake import Draft, Intake
from actors.registry.records import (
    DeleteVersion,
    ModelTable,
    ModelVersion,
    NoteLoad,
    RegisterModel,
    RegistryQuestion,
    RemoveAlias,
    SetAlias,
    WatchModels,
    is_alias_name,
)
from actors.registry.store import RegistryStore
from configs.settings import Settings

Result = TypeVar("Result")


class ModelRegistry:
    """Models, their versions, aliases and files.

    Invariant: the store is the truth and ``_table`` a copy of it, made anew after every change, under the lock that all changes take. Every
    file that a version in the store needs is in the folder; a file too many, as a crash may leave, goes with the next deletion.
    """

    def __init__(self, settings: Settings, clock: Clock, find_task: Callable[[str], Task]) -> None:
        """Open the registry.

        Args:
            settings: where the store, the state and the data are.
            clock: for the versions' time of birth.
            find_task: gives a task by its id, or raises TaskNotFoundError; called on the event loop.
        """
        self._store = RegistryStore(settings.database_url)
        self._files = ModelFiles(models_folder(settings))
        self._roots: DataRoots = build_data_roots(settings)
        self._intake = Intake(self._roots, self._files)
        # Copying weights may take a minute: it must keep nothing else of this process from its threads, and no disk from other copies.
        self._intake_thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._clock = clock
        self._find_task = find_task
        self._table: ModelTable | None = None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._files.remove_incoming()

    async def answer(self, question: RegistryQuestion) -> ModelTable | ModelVersion | None:
        """Do what is asked, with files and the store in threads.

        Raises:
            SubmissionError, TaskNotFoundError: of a registration.
            ModelNotFoundError, ModelInUseError, AliasMovedError: nothing was changed.
            StoreUnavailableError: nothing was changed.
        """
        match question:
            case WatchModels():
                return await self._watch(question)
            case RegisterModel():
                return await self._register(question)
            case SetAlias():
                if not is_alias_name(question.alias):
                    raise ModelNotFoundError(question.name, f"no alias can be called {question.alias!r}")
                return (await self._change(partial(self._store.set_alias, question)))[0]
            case RemoveAlias():
                return (await self._change(partial(self._store.remove_alias, question.name, question.alias)))[0]
            case DeleteVersion():
                return (await self._change(partial(self._delete, question)))[0]
            case NoteLoad():
                await self._change(partial(self._store.note_load, question))
                return None
            case _:
                assert_never(question)

    async def _watch(self, question: WatchModels) -> ModelTable:
        """The table once its revision is another than the asker's, or the wait is over."""
        until = asyncio.get_running_loop().time() + question.wait_s
        table = await self._known()
        while table.revision == question.revision and await self._is_changed(until):
            table = await self._known()
        return table

    async def _is_changed(self, until: float) -> bool:
        """Wait for a change; whether there was one before the given time of the loop's clock."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait()
                return True
        return False

    async def _register(self, wish: RegisterModel) -> ModelVersion:
        task = self._find_task(wish.task_id) if wish.task_id else None
        make_draft = partial(self._intake.draft, wish, task, now=self._clock.now())
        draft = await asyncio.get_running_loop().run_in_executor(self._intake_thread, make_draft)
        return (await self._change(partial(self._keep, draft)))[1]

    async def _known(self) -> ModelTable:
        """The table; read at the first question, and again where reading it failed after a change."""
        if self._table is None:
            async with self._lock:
                if self._table is None:
                    self._table = await asyncio.to_thread(self._store.read_models)
        return self._table

    async def _change(self, work: Callable[[], Result]) -> tuple[ModelTable, Result]:
        """Change the store in a thread, and wake all who watch."""
        async with self._lock:
            try:
                result = await asyncio.to_thread(work)
                self._table = None  # until it is read again: a failure must not leave an old one
                self._table = table = await asyncio.to_thread(self._store.read_models)
            finally:
                self._changed.set()
                self._changed = asyncio.Event()
        return table, result

    # --- in threads, under the lock ---

    def _keep(self, draft: Draft) -> ModelVersion:
        """Keep the files, then the version: one without the other can only be a file too many."""
        try:
            for each in draft.staged:
                self._files.keep(each)
            return self._store.add_version(draft.version)
        except OutputError as error:
            raise StoreUnavailableError(str(error)) from error
        finally:
            for each in draft.staged:
                self._files.discard(each)

    def _delete(self, wish: DeleteVersion) -> None:
        self._store.delete(wish)
        self._files.remove_all_but(_files_of(self._store.read_models()))


def _files_of(table: ModelTable) -> set[str]:
    """The paths of the files that some version needs."""
    versions = [version for entry in table.models.values() for version in entry.versions.values()]
    return {path for each in versions for path in (each.served.weights_path, each.served.golden_path, each.config_path)}
