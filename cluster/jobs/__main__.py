"""The program of a Ray job: ``ray job submit --working-dir . -- python -m cluster.jobs train FILE``.

Parses, connects, runs one job, and ends with its exit code: 0 completed, 1 failed, 2 refused, 3 cancelled, 4 no service. A working
folder that is a checkout brings its own copy of these packages, and the job's program runs that one: it must be the service's version.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cluster.driver import NoServiceError, connect, submission_id
from cluster.jobs.orders import JobFileError, read_job_file
from cluster.jobs.runs import SWEEP, JobExit, run_job

app = typer.Typer(
    help="Run a task of the service as a Ray job: its log is the output, its end the exit code.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FilePath = Annotated[Path, typer.Argument(help="YAML file with the fields of the HTTP request; see configs/*/example.yaml.")]


@app.command()
def train(file: FilePath) -> None:
    """Train a model."""
    _run("train", file)


@app.command()
def infer(file: FilePath) -> None:
    """Predict a file or a folder with a model."""
    _run("infer", file)


@app.command()
def evaluate(file: FilePath) -> None:
    """Measure a model with files of known classes."""
    _run("evaluate", file)


@app.command()
def sweep(file: FilePath) -> None:
    """Run one request with every combination of some values, and say which is best."""
    _run(SWEEP, file)


def _run(kind: str, path: Path) -> None:
    try:
        file = read_job_file(kind, path)
        connect(is_quiet=True)
    except JobFileError as error:
        _complain(str(error))
        raise typer.Exit(JobExit.REFUSED) from None
    except NoServiceError as error:
        _complain(str(error))
        raise typer.Exit(JobExit.UNREACHABLE) from None
    job_id = submission_id(os.environ)
    raise typer.Exit(asyncio.run(run_job(file, job_id=job_id, say=_say, complain=_complain)))


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(f"job: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    app()
