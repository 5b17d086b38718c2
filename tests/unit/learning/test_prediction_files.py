"""Predictions are written as the contract names their columns, in both files alike, whole or not at all."""

import csv
import json

import pytest

from actors.learning.errors import OutputError
from actors.learning.prediction_files import COLUMNS, Prediction, failed_prediction, write_predictions

ANSWER = Prediction(file="a/b.jpg", class_name="DJI MINI3, pro", confidence=97.5, top=(("DJI MINI3, pro", 97.5), ("大疆", 2.5)))
FAILURE = failed_prediction("c.jpg", 'c.jpg cannot be decoded: "cut"')


def written(folder, *predictions):
    """Both files, parsed."""
    json_path, csv_path = write_predictions(folder, predictions)
    with csv_path.open(encoding="utf-8", newline="") as file:
        return json.loads(json_path.read_text("utf-8")), list(csv.DictReader(file))


def test_json_has_the_fields_of_the_contract(tmp_path):
    entries, _ = written(tmp_path, ANSWER, FAILURE)
    assert entries == [
        {
            "file": "a/b.jpg",
            "segment": None,
            "class": "DJI MINI3, pro",
            "confidence": 97.5,
            "top": [{"class": "DJI MINI3, pro", "confidence": 97.5}, {"class": "大疆", "confidence": 2.5}],
            "error": None,
        },
        {
            "file": "c.jpg",
            "segment": None,
            "class": None,
            "confidence": None,
            "top": [],
            "error": 'c.jpg cannot be decoded: "cut"',
        },
    ]


def test_csv_has_the_same_columns_and_values(tmp_path):
    entries, rows = written(tmp_path, ANSWER, FAILURE)
    for entry, row in zip(entries, rows, strict=True):
        assert tuple(row) == COLUMNS == tuple(entry)
        assert json.loads(row.pop("top")) == entry.pop("top")
        assert row == {column: "" if value is None else str(value) for column, value in entry.items()}


def test_a_segment_of_a_recording_is_kept(tmp_path):
    entries, rows = written(tmp_path, Prediction("a.iq", "noise", 50.0, (("noise", 50.0),), segment=3))
    assert (entries[0]["segment"], rows[0]["segment"]) == (3, "3")


def test_no_predictions_give_an_empty_list_and_a_header(tmp_path):
    entries, rows = written(tmp_path)
    assert entries == rows == []
    assert (tmp_path / "predictions.csv").read_text("utf-8").strip() == ",".join(COLUMNS)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    written(tmp_path, ANSWER)
    with pytest.raises(ValueError, match="nan"):
        write_predictions(tmp_path, [Prediction("a.jpg", "noise", float("nan"))])
    assert json.loads((tmp_path / "predictions.json").read_text("utf-8"))[0]["file"] == "a/b.jpg"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv", "predictions.json"]


def test_a_missing_folder_is_an_error_of_the_output(tmp_path):
    with pytest.raises(OutputError, match=r"predictions\.json"):
        write_predictions(tmp_path / "nowhere", [ANSWER])
