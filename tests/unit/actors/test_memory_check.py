"""A training that cannot fit is refused where it was measured and warned of where it is only expected."""

from dataclasses import replace

import pytest

from actors.admission import Admission
from actors.core.errors import SubmissionError
from actors.core.model import GIB, WorkKind
from actors.core.tasks import Submission
from actors.learning.memory_need import NeedEstimator, Peak, training_workload
from actors.memory_check import check_need
from tests.service.pictures import write_coloured


def training(*, budget_gb=1.0, **changes):
    request = {"model": "resnet50", "batch_size": 64, "image_size": 224, "amp": "auto"} | changes
    return Submission(
        "t", WorkKind.TRAINING, "training", request, "cuda", 5, memory_bytes=round(budget_gb * GIB), output_path="out"
    )


@pytest.fixture
def needs():
    return NeedEstimator()


@pytest.fixture
def measured(needs):
    for batch, peak in ((16, 3 * GIB), (64, 9 * GIB)):
        needs.learn(Peak(training_workload(training(batch_size=batch).request), peak))
    return needs


def test_what_was_measured_to_need_more_is_refused_with_the_batch_that_fits(measured):
    with pytest.raises(SubmissionError) as caught:
        check_need(training(budget_gb=5), measured)
    error = caught.value
    assert (error.code, error.field, error.hint) == ("memory_need_exceeds_budget", "gpu_memory_gb", "batch_size 32 would fit")
    assert "measured to need about 9.00 GiB of GPU memory, gpu_memory_gb is 5.00 GiB" in error.message


def test_what_is_only_expected_to_need_more_is_accepted_with_a_warning(needs):
    note = check_need(training(budget_gb=3), needs)
    assert "is expected to need about" in note
    assert "gpu_memory_gb is 3.00 GiB; batch_size " in note


def test_what_fits_passes_in_silence(measured):
    assert check_need(training(budget_gb=9), measured) == ""


def test_what_no_batch_can_cure_says_so(needs):
    assert "not even batch_size 1 would fit" in check_need(training(budget_gb=0.5), needs)


def test_what_finds_its_batch_by_itself_is_let_in_with_a_warning(measured):
    assert "batch_size 32 would fit" in check_need(training(budget_gb=5, on_oom="reduce_batch"), measured)


def test_more_than_the_largest_device_is_refused_in_its_name(measured):
    with pytest.raises(SubmissionError, match=r"the largest GPU is 8\.00 GiB") as caught:
        check_need(training(budget_gb=20), measured, device_bytes=8 * GIB)
    assert caught.value.field == "batch_size"


@pytest.mark.parametrize("changes", [{"device": "cpu"}, {"memory_bytes": None}, {"work": WorkKind.INFERENCE}])
def test_other_work_and_work_without_a_budget_is_not_weighed(measured, changes):
    assert check_need(replace(training(budget_gb=1), **changes), measured) == ""


def test_admission_remarks_on_it_in_what_it_resolved(tmp_path, needs):
    write_coloured(tmp_path, train=2, valid=1)
    asked = training(budget_gb=2, num_classes=2, num_epochs=1, train_path="train", val_path="valid")
    admission = Admission([tmp_path], needs)
    checked = admission.check(asked)
    assert "expected to need" in admission.check_memory(checked).resolved["memory_note"]
    assert "memory_note" not in admission.check_memory(replace(checked, memory_bytes=80 * GIB)).resolved
    assert "the largest GPU is" in admission.check_memory(replace(checked, memory_bytes=None), 3 * GIB).resolved["memory_note"]
