"""A job's output is its task's log, its exit code the task's end, and nothing that is restarted meanwhile changes that."""

import asyncio
import os
import signal

import pytest

from actors.core.errors import LineFullError, SubmissionError
from actors.core.tasks import EndMode, TaskFault, TaskState
from actors.messages import LogLine
from cluster.jobs import runs
from cluster.jobs import service as job_service
from cluster.jobs.orders import JobFile
from cluster.jobs.runs import JobExit, run_job
from cluster.jobs.service import JobService
from configs.settings import Settings
from serve_app.ports import NotReadyError
from tests.fakes import FakeLogs, FakeTasks

TRAINING = {"model": "resnet18", "num_classes": 2, "train_path": "t", "val_path": "v", "save_path": "s", "name": "n"}
LINES = [LogLine(0, 0.0, "INFO", f"line {number}") for number in (1, 2, 3)]


class World:
    """A job over fakes of the service; ``said`` and ``complaints`` are its output."""

    def __init__(self):
        self.tasks = FakeTasks()
        self.logs = FakeLogs()
        self.said = []
        self.complaints = []

    async def reach(self, say):
        return JobService(self.tasks, self.logs, None, say=say, patience_s=1.0), Settings()

    def run(self, kind="train", values=TRAINING, job_id="job-1", meanwhile=None):
        """The exit code of a job, during which something else happens."""
        file = JobFile(kind, values, "job.yaml")

        async def both():
            options = {"job_id": job_id, "say": self.said.append, "complain": self.complaints.append, "reach": self.reach}
            async with asyncio.timeout(20):
                job = asyncio.create_task(run_job(file, **options))
                if meanwhile is not None:
                    await meanwhile()
                return await job

        return asyncio.run(both())

    async def begun(self, task_id):
        """Return once the task was submitted."""
        while task_id not in self.tasks.flow.tasks:  # noqa: ASYNC110 - the fakes tell nobody of a submission
            await asyncio.sleep(0.01)

    async def end(self, task_id, outcome="completed", fault=None):
        await self.begun(task_id)
        self.tasks.grant(task_id, "cuda:0")
        await self.logs.write(task_id, *LINES)
        self.tasks.finish(task_id, outcome, fault=fault)
        await self.logs.write(task_id, LogLine(0, 0.0, "INFO", "last"), is_last=True)

    def log_lines(self):
        return [line.rpartition("INFO    ")[2] for line in self.said if "INFO " in line]


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(job_service, "_PAUSE_S", 0.01)
    return World()


class TestOneTask:
    def test_the_log_is_the_output_and_completion_exit_code_0(self, world):
        assert world.run(meanwhile=lambda: world.end("job-1")) is JobExit.COMPLETED
        assert world.log_lines() == ["line 1", "line 2", "line 3", "last"]
        assert "task job-1 completed" in world.said[-1]

    def test_failure_is_exit_code_1_with_the_reason_and_the_remedy(self, world):
        fault = TaskFault("gpu_out_of_memory", "no memory", "take a smaller batch")
        assert world.run(meanwhile=lambda: world.end("job-1", "failed", fault)) is JobExit.FAILED
        assert "task job-1 failed: no memory (take a smaller batch)" in world.said[-1]

    def test_a_restart_of_supervisor_and_log_hub_loses_and_repeats_nothing(self, world):
        world.tasks.refusals = [NotReadyError("supervisor"), None]
        world.logs.failures = [NotReadyError("log_hub"), NotReadyError("log_hub")]
        assert world.run(meanwhile=lambda: world.end("job-1")) is JobExit.COMPLETED
        assert world.log_lines() == ["line 1", "line 2", "line 3", "last"]
        assert sum("does not answer" in line for line in world.said) == 2

    def test_a_repeat_of_the_job_follows_the_first_task(self, world):
        world.run(meanwhile=lambda: world.end("job-1"))
        assert world.run() is JobExit.COMPLETED
        assert len(world.tasks.flow.tasks) == 1
        assert world.log_lines() == ["line 1", "line 2", "line 3", "last"] * 2

    def test_what_the_service_refuses_is_exit_code_2_with_its_words(self, world):
        world.tasks.refusals = [SubmissionError("path_not_found", "train_path", "no such folder: 't'", "check it")]
        assert world.run() is JobExit.REFUSED
        assert world.complaints == ["job.yaml: train_path: no such folder: 't' (check it)"]

    def test_a_wrong_file_is_refused_before_anything_is_submitted(self, world):
        assert world.run(values={**TRAINING, "epochs": 3}) is JobExit.REFUSED
        assert "job.yaml: epochs: there is no such key; did you mean num_epochs?" in world.complaints[0]
        assert not world.tasks.submissions

    def test_a_full_line_is_waited_for(self, world):
        world.tasks.refusals = [LineFullError("job-1", "100 tasks wait")] * 5
        assert world.run(meanwhile=lambda: world.end("job-1")) is JobExit.COMPLETED
        assert "waiting: 100 tasks wait" in world.said

    def test_a_service_that_stays_away_is_exit_code_4(self, world):
        world.tasks.is_ready = False
        assert world.run() is JobExit.UNREACHABLE
        assert "supervisor" in world.complaints[0]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_being_stopped_cancels_the_task(self, world, number):
        async def stop():
            await world.begun("job-1")
            os.kill(os.getpid(), number)

        assert world.run(meanwhile=stop) is JobExit.CANCELLED
        assert world.tasks.flow.get("job-1").state is TaskState.CANCELLED
        assert world.said[-1] == "stopped; cancelling job-1"


class TestAStopThatIsNotConfirmed:
    """The supervisor may be busy with accepting the task, away, or have another one's task under the id."""

    @pytest.fixture
    def stop_when(self):
        def stop(fact):
            async def meanwhile():
                while not fact():  # noqa: ASYNC110 - the fakes tell nobody of a submission
                    await asyncio.sleep(0.01)
                os.kill(os.getpid(), signal.SIGTERM)

            return meanwhile

        return stop

    def test_a_task_that_is_accepted_only_after_the_stop_is_cancelled(self, world, stop_when):
        accept, asked = world.tasks.submit, []

        async def accept_late(submission):
            asked.append(submission)
            await asyncio.sleep(0.3)
            return await accept(submission)

        world.tasks.submit = accept_late
        assert world.run(meanwhile=stop_when(lambda: asked)) is JobExit.CANCELLED
        assert world.tasks.flow.get("job-1").state is TaskState.CANCELLED
        assert world.said[-1] == "stopped; cancelling job-1"

    def test_what_is_refused_after_the_stop_needs_no_cancelling(self, world, stop_when):
        asked = []

        async def refuse_late(submission):
            asked.append(submission)
            await asyncio.sleep(0.3)
            raise SubmissionError("path_not_found", "train_path", "no such folder: 't'", "check it")

        world.tasks.submit = refuse_late
        assert world.run(meanwhile=stop_when(lambda: asked)) is JobExit.CANCELLED
        assert world.said[-1] == "stopped; cancelling job-1"

    def test_a_supervisor_that_stays_away_leaves_the_task_with_a_word(self, world, stop_when, monkeypatch):
        monkeypatch.setattr(job_service, "_CANCEL_S", 0.3)

        def is_begun():
            if "job-1" not in world.tasks.flow.tasks:
                return False
            world.tasks.is_ready = False
            return True

        assert world.run(meanwhile=stop_when(is_begun)) is JobExit.CANCELLED
        assert world.said[-1] == "job-1 may go on; `rfuav tasks cancel ID` ends one"


SWEEP = {"base": TRAINING, "grid": {"seed": [1, 2]}}


class TestASweep:
    def test_a_refused_run_cancels_those_before_it(self, world):
        world.tasks.refusals = [None, SubmissionError("invalid", "seed", "is too large")]
        assert world.run("sweep", SWEEP) is JobExit.REFUSED
        assert "seed=2: seed: is too large" in world.complaints[0]
        assert world.tasks.flow.get("job-1.1").state is TaskState.CANCELLED

    def test_a_run_that_is_deleted_counts_as_cancelled_and_the_others_go_on(self, world, monkeypatch):
        monkeypatch.setattr(runs.Job, "_write_tables", lambda *_: None)

        async def delete_one_and_end_the_other():
            await world.begun("job-1.2")
            await world.tasks.end("job-1.1", EndMode.CANCEL)
            await world.tasks.delete("job-1.1")
            await world.logs.write("job-1.1", is_last=True)
            await world.end("job-1.2")

        assert world.run("sweep", SWEEP, meanwhile=delete_one_and_end_the_other) is JobExit.CANCELLED
        assert "[n-1] task job-1.1 was deleted" in world.said
        assert world.tasks.flow.get("job-1.2").state is TaskState.COMPLETED

    def test_where_the_service_stays_away_the_tasks_that_go_on_are_named(self, world):
        world.tasks.refusals = [None, *[NotReadyError("supervisor")] * 1000]
        assert world.run("sweep", SWEEP) is JobExit.UNREACHABLE
        assert world.said[-1] == "job-1.1, job-1.2 may go on; `rfuav tasks cancel ID` ends one"

    def test_being_stopped_cancels_every_run(self, world):
        async def stop():
            await world.begun("job-1.2")
            os.kill(os.getpid(), signal.SIGTERM)

        assert world.run("sweep", SWEEP, meanwhile=stop) is JobExit.CANCELLED
        assert {task.state for task in world.tasks.flow.tasks.values()} == {TaskState.CANCELLED}
