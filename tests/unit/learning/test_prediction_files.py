"""Predictions are written as the contract names their columns, in both files alike, whole or not at all."""

import csv
import json

import pytest

from actors.files.errors import OutputError
from actors.learning.prediction_files import (
    COLUMNS,
    SUMMARY_COLUMNS,
    FileSummary,
    Prediction,
    PredictionFileError,
    failed_prediction,
    read_predictions,
    summary_of_picture,
    to_json,
    write_predictions,
    write_summaries,
)

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
            "start_s": None,
            "duration_s": None,
        },
        {
            "file": "c.jpg",
            "segment": None,
            "class": None,
            "confidence": None,
            "top": [],
            "error": 'c.jpg cannot be decoded: "cut"',
            "start_s": None,
            "duration_s": None,
        },
    ]


def test_csv_has_the_same_columns_and_values(tmp_path):
    entries, rows = written(tmp_path, ANSWER, FAILURE)
    for entry, row in zip(entries, rows, strict=True):
        assert tuple(row) == COLUMNS == tuple(entry)
        assert json.loads(row.pop("top")) == entry.pop("top")
        assert row == {column: "" if value is None else str(value) for column, value in entry.items()}


def test_a_segment_of_a_recording_is_kept(tmp_path):
    frame = Prediction("a.iq", "noise", 50.0, (("noise", 50.0),), segment=3, start_s=0.3, duration_s=0.1)
    entries, rows = written(tmp_path, frame)
    assert [entries[0][name] for name in ("segment", "start_s", "duration_s")] == [3, 0.3, 0.1]
    assert [rows[0][name] for name in ("segment", "start_s", "duration_s")] == ["3", "0.3", "0.1"]


def test_columns_of_the_contract_keep_their_places():
    assert COLUMNS[:6] == ("file", "segment", "class", "confidence", "top", "error")


def test_json_is_written_as_json_dumps_writes_the_whole(tmp_path):
    json_path, _ = write_predictions(tmp_path, [ANSWER, FAILURE])
    assert json_path.read_text("utf-8") == json.dumps([to_json(ANSWER), to_json(FAILURE)], ensure_ascii=False, indent=1) + "\n"
    json_path, _ = write_predictions(tmp_path, [])
    assert json_path.read_text("utf-8") == "[]\n"


def test_summaries_are_written_and_read_in_pages_like_predictions(tmp_path):
    summary = FileSummary("a.iq", "b", 60.0, (("b", 60.0), ("a", 40.0)), 3, 0.3, (("b", 2), ("a", 1)), "1 of 4 frames")
    json_path, csv_path = write_summaries(tmp_path, [summary, summary_of_picture(ANSWER), summary_of_picture(FAILURE)])
    assert read_predictions(json_path, 0, 2) == (3, json.loads(json_path.read_text("utf-8"))[:2])
    with csv_path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == SUMMARY_COLUMNS
    assert json.loads(rows[0]["frames_per_class"]) == {"b": 2, "a": 1}
    assert [(row["frames"], row["seconds"], row["error"]) for row in rows] == [
        ("3", "0.3", "1 of 4 frames"),
        ("1", "", ""),
        ("0", "", 'c.jpg cannot be decoded: "cut"'),
    ]


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


class TestReadingPages:
    @pytest.fixture
    def path(self, tmp_path):
        predictions = [
            Prediction(f'odd "{number}"\n {{.png', "fpv", 90.0, (("fpv", 90.0), ("mävic", 10.0))) for number in range(5)
        ] + [failed_prediction("broken.png", "no picture")]
        return write_predictions(tmp_path, predictions)[0]

    def test_pages_together_hold_every_entry_once_in_order(self, path):
        whole = json.loads(path.read_text(encoding="utf-8"))
        pages = [read_predictions(path, first, 2) for first in (0, 2, 4)]
        assert [total for total, _ in pages] == [6, 6, 6]
        assert [entry for _, entries in pages for entry in entries] == whole

    @pytest.mark.parametrize(("first", "count", "found"), [(0, 100, 6), (5, 1, 1), (6, 1, 0), (10**9, 1, 0)])
    def test_a_page_ends_with_the_file(self, path, first, count, found):
        total, entries = read_predictions(path, first, count)
        assert (total, len(entries)) == (6, found)

    def test_a_file_that_is_written_again_is_read_again(self, path):
        assert read_predictions(path, 0, 1)[0] == 6
        write_predictions(path.parent, [failed_prediction("one.png", "no picture")])
        assert read_predictions(path, 0, 9)[0] == 1

    def test_no_entries_are_an_empty_page(self, tmp_path):
        assert read_predictions(write_predictions(tmp_path, [])[0], 0, 5) == (0, [])

    @pytest.mark.parametrize("text", ["", "{}", "[\n {nonsense\n]", '[\n {"a"'])
    def test_another_file_is_refused(self, tmp_path, text):
        path = tmp_path / "predictions.json"
        path.write_text(text)
        with pytest.raises(PredictionFileError, match=r"predictions\.json"):
            read_predictions(path, 0, 5)
