"""The course that all tasks take: claim the folder, do what is missing, sum up.

Owns that course and the outcome. What a task makes of a file is the task's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.preprocessing.file_runs import FileRun, Make, UnfinishedFile
from actors.preprocessing.plan import Outcome, Surroundings
from actors.preprocessing.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Course:
    """One task on its way through its files."""

    folder: RunFolder
    #: For each source its results, with their sizes in bytes where known beforehand.
    outputs: Mapping[str, Mapping[str, int | None]]
    warnings: tuple[str, ...]
    make: Make
    #: Sums up what is in place and what failed.
    stats: Callable[[FileRun], Mapping[str, Any]]
    #: What else the finished manifest should say.
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: Files handed to a thread at once.
    batch_size: int = 1
    #: What the sources are, for the log.
    subject: str = "pictures"
    #: As in ``FileRun``.
    locate: Callable[[str], str] | None = None
    #: Texts that stand beside the results once all are made, by name.
    documents: Mapping[str, Callable[[FileRun], str]] = field(default_factory=dict)

    def run(self, surroundings: Surroundings, *, threads: int) -> Outcome:
        """Do what is missing of the task.

        Raises:
            OutputTakenError: The output folder holds something else.
            AllFilesFailedError: Not one file could be worked on.
            OutputError: A file cannot be written.
        """
        files = self._missing(surroundings)
        open_sources = {file.source for file in files}
        finished = {source for source in self.outputs if source not in open_sources}
        run = FileRun(surroundings, self.folder.folder, total=len(self.outputs), finished=finished, locate=self.locate)
        for warning in self.warnings:
            run.warn(warning)
        run.note(f"{run.total} {self.subject} below {self.folder.sources.root}, {run.done} of them done already")
        is_whole = run.work(files, self.make, threads=threads, batch_size=self.batch_size)
        stats = self.stats(run)
        if not is_whole:
            run.note(f"stopped after {run.done} of {run.total} pictures")
            return Outcome("stopped", stats, run.done, run.total)
        run.check_failures()
        for name, make_text in self.documents.items():
            self.folder.put_text(surroundings, name, make_text(run))
        self.folder.describe(surroundings, {"status": "completed", "stats": stats, "failed": run.failures, **self.notes})
        run.finish(f"completed: {len(run.finished)} of {run.total} pictures, {len(run.failures)} failed")
        return Outcome("completed", stats, run.done, run.total)

    def _missing(self, surroundings: Surroundings) -> list[UnfinishedFile]:
        """Claim the folder and list what is not done in it."""
        names = {name: size for outputs in self.outputs.values() for name, size in outputs.items()}
        ready = self.folder.claim({**names, **dict.fromkeys(self.documents)}, surroundings)
        missing = {source: tuple(name for name in outputs if name not in ready) for source, outputs in self.outputs.items()}
        return [UnfinishedFile(source, names) for source, names in missing.items() if names]
