"""Reading back what a training wrote about itself."""

import math

import pytest

from actors.learning.history_files import HistoryFileError, confusion_json, metrics_csv, read_confusion, read_metrics

HISTORY = [
    {"epoch": 1, "total_epochs": 2, "train_loss": 0.5, "val_loss": math.inf},
    {"epoch": 2, "total_epochs": 2, "train_loss": 0.25, "val_loss": math.nan},
]


def test_a_history_comes_back_as_columns_with_counted_ones_whole(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(metrics_csv(HISTORY))
    columns = read_metrics(path)
    assert (columns["epoch"], columns["train_loss"]) == ([1, 2], [0.5, 0.25])
    assert all(isinstance(epoch, int) for epoch in columns["epoch"])
    assert columns["val_loss"][0] == math.inf
    assert math.isnan(columns["val_loss"][1])


def test_an_empty_history_has_no_columns(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(metrics_csv([]))
    assert read_metrics(path) == {}
    path.write_text("epoch,train_loss\n")
    assert read_metrics(path) == {"epoch": [], "train_loss": []}


@pytest.mark.parametrize("text", ["a,b\n1\n", "a\nx\n", "a,b\n1,2,3\n", "epoch\nnan\n", "\udcff"])
def test_another_table_is_refused(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(HistoryFileError, match=r"metrics\.csv"):
        read_metrics(path)


def test_a_matrix_comes_back_with_numbers_for_classes_without_a_name(tmp_path):
    path = tmp_path / "confusion_matrix.json"
    path.write_text(confusion_json([[3, 1, 0], [0, 2, 0], [0, 0, 0]], ["fpv", "mävic"], 7))
    found = read_confusion(path)
    assert (found.epoch, found.labels, found.counts) == (7, ("fpv", "mävic", "#2"), ((3, 1, 0), (0, 2, 0), (0, 0, 0)))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"epoch": 1, "labels": ["a"], "counts": [[1, 2]]}', '{"epoch": 1, "labels": ["a", "b"], "counts": [[1, 2]]}'],
)
def test_what_is_no_matrix_is_refused(tmp_path, text):
    path = tmp_path / "confusion_matrix.json"
    path.write_text(text)
    with pytest.raises(HistoryFileError, match="no confusion matrix"):
        read_confusion(path)
