"""Which failures of an attempt let another one try: those that have nothing to do with what was asked for."""

from unittest.mock import create_autospec

import pytest

from actors.core.tasks import Progress
from actors.files.errors import WorkError
from actors.learning.errors import CheckpointError, CheckpointUnavailableError, RankLostError
from actors.workers.attempt import _explain
from actors.workers.reporter import Reporter


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [(CheckpointUnavailableError("x"), True), (RankLostError("x"), True), (CheckpointError("x"), False)],
)
def test_a_failure_of_the_machine_is_tried_again_and_one_of_what_was_asked_for_is_not(error: WorkError, is_passing: bool) -> None:
    reporter = create_autospec(Reporter, instance=True)
    reporter.progress = Progress()
    assert _explain(error, reporter, ()).is_retryable is is_passing
