"""A version is loaded only if its weights are the registered ones and its answers the expected ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.core.errors import ModelCheckError
from actors.online.loading import LoadTerms, load_version
from actors.registry.records import Precision, ServingWish
from tests.unit.online.versions import job_predictor, make_network, pictures, sha256, with_wish, write_version

TERMS = LoadTerms(torch.device("cpu"), max_batch=4, wish=ServingWish(Precision.FLOAT32))


def test_a_load_tells_what_was_chosen_and_the_answers_that_nobody_had_told(model):
    load = load_version(model, TERMS)
    report = load.report
    assert (report.device_kind, report.precision, report.optimised) == ("cpu", Precision.FLOAT32, True)
    assert (report.largest_difference <= 1e-4, report.load_s > 0) == (True, True)
    assert report.memory_bytes == load.footprint.weights_bytes + load.footprint.working_bytes
    reference = job_predictor(model).predict(pictures(3))
    assert np.abs(np.array(load.expected) - reference).max() < 1e-6


def test_answers_agree_with_those_of_a_job(model):
    batch = pictures(7, seed=5)
    answers = load_version(model, TERMS).version.forward(list(batch[:4]))
    assert np.abs(answers - job_predictor(model).predict(batch)[:4]).max() < 1e-4


def test_a_version_whose_answers_are_known_tells_none(model):
    known = replace(model, golden_expected=load_version(model, TERMS).expected)
    load = load_version(known, TERMS)
    assert load.expected == ()
    assert load.report.largest_difference < 1e-3


def test_other_answers_than_the_expected_ones_fail_the_check(model):
    expected = [list(row) for row in load_version(model, TERMS).expected]
    expected[1] = expected[1][::-1]
    with pytest.raises(ModelCheckError, match=r"differ by .* from the expected ones"):
        load_version(replace(model, golden_expected=tuple(map(tuple, expected))), TERMS)


def test_what_float32_may_not_differ_bfloat16_may(model):
    rows = load_version(model, TERMS).expected
    near = tuple(tuple(value + 0.01 * sign for value, sign in zip(row, (1, -1, 0), strict=True)) for row in rows)
    known = replace(model, golden_expected=near)
    with pytest.raises(ModelCheckError):
        load_version(known, TERMS)
    assert load_version(with_wish(known, precision=Precision.BFLOAT16), TERMS).report.precision is Precision.BFLOAT16


def test_weights_that_were_changed_are_refused(tmp_path):
    model = write_version(tmp_path)
    torch.save(make_network(seed=9).state_dict(), model.weights_path)
    with pytest.raises(ModelCheckError, match=r"were changed: its sha256 is .*Register the version anew"):
        load_version(model, TERMS)


def test_damaged_missing_and_foreign_weights_are_named(tmp_path):
    model = write_version(tmp_path)
    path = Path(model.weights_path)
    foreign = replace(model, architecture="resnet18")
    with pytest.raises(ModelCheckError, match="drones@1"):
        load_version(foreign, TERMS)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelCheckError, match="its stored weights") as damaged:
        load_version(replace(model, weights_sha256=sha256(path)), TERMS)
    path.unlink()
    with pytest.raises(ModelCheckError, match=r"are gone. Register the version anew") as gone:
        load_version(model, TERMS)
    assert not any(str(tmp_path) in str(each.value) for each in (damaged, gone))


def test_a_network_that_answers_with_no_numbers_is_refused(tmp_path):
    network = make_network()
    with torch.no_grad():
        network.classifier[-1].weight.fill_(torch.nan)
    with pytest.raises(ModelCheckError, match="no numbers"):
        load_version(write_version(tmp_path, network=network), TERMS)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (pictures(2, size=48), "do not fit"),
        (pictures(2).astype(np.float32), "do not fit"),
        (pictures(0), "do not fit"),
        (None, "cannot be read"),
    ],
)
def test_golden_inputs_that_do_not_fit_are_named(tmp_path, inputs, reason):
    model = write_version(tmp_path)
    if inputs is None:
        Path(model.golden_path).write_bytes(b"PK damaged")
    else:
        np.savez(model.golden_path, inputs=inputs)
    with pytest.raises(ModelCheckError, match=f"golden inputs.*{reason}"):
        load_version(model, TERMS)


def test_expected_answers_of_another_number_are_named(model):
    with pytest.raises(ModelCheckError, match="expected answers do not fit"):
        load_version(replace(model, golden_expected=((1.0, 0.0, 0.0),)), TERMS)


def test_a_version_without_golden_inputs_is_optimised_and_tells_no_answers(model):
    load = load_version(replace(model, golden_path=""), TERMS)
    assert (load.report.optimised, load.expected) == (True, ())


def test_a_versions_own_wish_goes_before_the_usual_one_but_both_must_wish_to_optimise(model):
    own = with_wish(model, precision=Precision.BFLOAT16)
    plain = replace(TERMS, wish=ServingWish(Precision.FLOAT32, optimise=False))
    report = load_version(own, plain).report
    assert (report.precision, report.optimised) == (Precision.BFLOAT16, False)
