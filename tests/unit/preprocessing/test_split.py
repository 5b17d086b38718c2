"""A split keeps recordings whole, is the same for the same seed, and can be taken up again."""

import errno
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.fence import FencedFolder
from actors.files.data_roots import DataRoots
from actors.files.errors import DatasetError
from actors.learning.errors import ConfigError, UnreadablePictureError
from actors.preprocessing.copying import copy_file, link_file
from actors.preprocessing.errors import OutputTakenError
from actors.preprocessing.pixels import read_picture
from actors.preprocessing.plan import SplitPlan
from actors.preprocessing.split import run_split
from tests.unit.preprocessing.conftest import Runner, pictures_of, tree_of


def fill(folder: Path, recordings: dict[str, dict[str, int]]) -> Path:
    """Write files of some bytes; a split never looks into them."""
    for class_name, sizes in recordings.items():
        for recording, size in sizes.items():
            for number in range(size):
                path = folder / class_name / f"{recording}_{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{class_name}{recording}{number}".encode())
    return folder


def plan_of(source: Path, output: Path, **changes) -> SplitPlan:
    return replace(SplitPlan(source, output, 0.8, None, 7, "recording", 2), **changes)


FLIGHTS = {"drone a": {f"flight{number}": number + 1 for number in range(10)}, "b": {f"flight{number}": 3 for number in range(5)}}


def test_a_split_copies_every_picture_once_and_counts_them(tmp_path, run):
    source = fill(tmp_path / "in", FLIGHTS)
    outcome = run(run_split, plan_of(source, tmp_path / "out"))
    copies = {name.partition("/")[2]: content for name, content in tree_of(tmp_path / "out").items() if "/" in name}
    assert copies == tree_of(source)
    parts = [name.partition("/")[0] for name in pictures_of(tmp_path / "out")]
    assert (outcome.status, outcome.done, outcome.total) == ("completed", 70, 70)
    assert outcome.stats == {
        "total_images": 70,
        "train_images": parts.count("train"),
        "val_images": parts.count("valid"),
        "test_images": 0,
        "classes": ["b", "drone a"],
    }
    assert outcome.stats["train_images"] == 56
    assert run.records[-1].progress == 100


def test_with_val_ratio_there_is_a_test_part(tmp_path, run):
    source = fill(tmp_path / "in", {"a": {f"flight{number}": 1 for number in range(20)}})
    stats = run(run_split, plan_of(source, tmp_path / "out", train_ratio=0.6, val_ratio=0.3)).stats
    assert (stats["train_images"], stats["val_images"], stats["test_images"]) == (12, 6, 2)


sizes = st.dictionaries(st.sampled_from(["r1", "r2", "x-7", "y"]), st.integers(1, 4), min_size=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["a", "b"]), sizes, min_size=1), st.floats(0.1, 0.9), st.integers(0, 9))
def test_a_split_is_a_partition_by_recording(recordings, ratio, seed):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = fill(folder / "in", recordings)
        Runner()(run_split, plan_of(source, folder / "out", train_ratio=ratio, seed=seed))
        parts = {"train": set(), "valid": set()}
        for path in pictures_of(folder / "out"):
            part, class_name, file = path.split("/")
            parts[part].add((class_name, file.rpartition("_")[0]))
        assert not parts["train"] & parts["valid"]
        assert {class_name for class_name, _ in parts["train"]} == set(recordings)
        assert len(pictures_of(folder / "out")) == sum(sum(sizes.values()) for sizes in recordings.values())


def test_the_same_seed_gives_the_same_split_and_another_one_another(tmp_path, run):
    source = fill(tmp_path / "in", FLIGHTS)
    backwards = {name: dict(reversed(sizes.items())) for name, sizes in reversed(FLIGHTS.items())}
    other_order = fill(tmp_path / "again", backwards)
    run(run_split, plan_of(source, tmp_path / "one"))
    run(run_split, plan_of(other_order, tmp_path / "two", threads=1))
    run(run_split, plan_of(source, tmp_path / "three", seed=8))
    assert pictures_of(tmp_path / "one") == pictures_of(tmp_path / "two") != pictures_of(tmp_path / "three")


def test_running_again_redoes_nothing(tmp_path, run):
    plan = plan_of(fill(tmp_path / "in", FLIGHTS), tmp_path / "out")
    first = run(run_split, plan)
    before = tree_of(plan.output_path)
    again = run(run_split, plan)
    assert run.published == ["preprocessing.json"]
    assert (tree_of(plan.output_path), again) == (before, first)


def test_a_stopped_split_goes_on_at_the_next_file(tmp_path, run):
    plan = plan_of(fill(tmp_path / "in", {"a": {f"flight{number}": 10 for number in range(100)}}), tmp_path / "out", threads=1)
    stopped = run(run_split, plan, should_stop=iter([False] * 4 + [True] * 99).__next__)
    done = pictures_of(plan.output_path)
    assert stopped.status == "stopped"
    assert 0 < stopped.done == len(done) < 1000
    assert run(run_split, plan).status == "completed"
    assert not done & set(run.published)
    assert len(pictures_of(plan.output_path)) == 1000


def test_a_copy_that_a_power_cut_left_short_is_made_again(tmp_path, run):
    plan = plan_of(fill(tmp_path / "in", {"a": {"x": 2}}), tmp_path / "out")
    run(run_split, plan)
    (plan.output_path / "train/a/x_1.jpg").write_bytes(b"")
    run(run_split, plan)
    assert (plan.output_path / "train/a/x_1.jpg").read_bytes() == b"ax1"


def test_an_output_folder_of_other_parameters_is_refused_by_name(tmp_path, run):
    plan = plan_of(fill(tmp_path / "in", {"a": {"x": 2, "y": 1}}), tmp_path / "out")
    run(run_split, plan)
    with pytest.raises(OutputTakenError, match="seed 7, not 8"):
        run(run_split, replace(plan, seed=8))


def test_new_pictures_in_the_input_are_not_mixed_into_an_old_split(tmp_path, run):
    plan = plan_of(fill(tmp_path / "in", {"a": {"x": 2}}), tmp_path / "out")
    run(run_split, plan)
    fill(tmp_path / "in", {"a": {"z": 1}})
    with pytest.raises(OutputTakenError, match="came, went or were changed"):
        run(run_split, plan)


def test_a_file_of_someone_else_is_never_overwritten(tmp_path, run):
    plan = plan_of(fill(tmp_path / "in", {"a": {"x": 1}}), tmp_path / "out")
    theirs = tmp_path / "out/train/a/x_0.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    with pytest.raises(OutputTakenError, match=r"x_0\.jpg is there already"):
        run(run_split, plan)
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("output", ["in", "in/out", "in/a"])
def test_an_output_within_the_input_is_refused(tmp_path, run, output):
    source = fill(tmp_path / "in", {"a": {"x": 1}})
    staging = tmp_path / "staging"
    with pytest.raises(ConfigError, match="lies within input_path"):
        run_split(
            plan_of(source, tmp_path / output), report=print, should_stop=lambda: False, staging=staging, publish_all=lambda _: None
        )


def test_links_that_lead_out_are_skipped_with_a_warning(tmp_path, run):
    source = fill(tmp_path / "in", {"a": {"x": 2}})
    secret = fill(tmp_path / "secret", {"c": {"s": 1}})
    (source / "a/leak.jpg").symlink_to(secret / "c/s_0.jpg")
    (source / "c").symlink_to(secret / "c")
    (source / "a/inner_1.jpg").symlink_to(source / "a/x_1.jpg")
    (source / "a/elsewhere_1.jpg").symlink_to(fill(tmp_path / "other", {"o": {"y": 1}}) / "o/y_0.jpg")
    roots = DataRoots.of([tmp_path / "in", tmp_path / "other"])
    run(run_split, replace(plan_of(source, tmp_path / "out"), roots=roots))
    copied = {name.rpartition("/")[2] for name in pictures_of(tmp_path / "out")}
    assert copied == {"x_0.jpg", "x_1.jpg", "inner_1.jpg", "elsewhere_1.jpg"}
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert "leak.jpg is skipped: it is a link that leads out" in run.warnings()
    assert "c is skipped: links to folders" in run.warnings()


def test_a_file_that_cannot_be_read_fails_alone(tmp_path):
    source = fill(tmp_path / "in", {"a": {"x": 3}})
    folder = FencedFolder(tmp_path / "out", 1)
    records = []

    def vanish(record):
        records.append(record)
        (source / "a/x_1.jpg").unlink(missing_ok=True)

    outcome = run_split(
        plan_of(source, tmp_path / "out"),
        report=vanish,
        should_stop=lambda: False,
        staging=folder.staging,
        publish_all=folder.publish_all,
    )
    assert (outcome.status, outcome.stats["train_images"], outcome.done) == ("completed", 2, 3)
    assert [record.level for record in records if "a/x_1.jpg failed" in record.message] == ["WARNING"]


def test_a_class_of_one_recording_is_for_training_and_says_so(tmp_path, run):
    stats = run(run_split, plan_of(fill(tmp_path / "in", {"a": {"flight": 9}}), tmp_path / "out")).stats
    assert (stats["train_images"], stats["val_images"]) == (9, 0)
    assert "class a has 1 recordings (9 pictures): nothing of it is in valid; group_by" in run.warnings()


def test_the_manifest_tells_where_each_recording_went(tmp_path, run):
    run(run_split, plan_of(fill(tmp_path / "in", {"a": {"x1": 4, "x2": 1}}), tmp_path / "out"))
    manifest = json.loads((tmp_path / "out/preprocessing.json").read_text())
    assert manifest["recordings"] == {"a": {"/x1": "train", "/x2": "valid"}}
    assert (manifest["status"], manifest["stats"]["train_images"]) == ("completed", 4)


def test_an_input_without_class_folders_is_refused(tmp_path, run):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/1.jpg").touch()
    with pytest.raises(DatasetError, match="no picture in class folders"):
        run(run_split, plan_of(tmp_path / "in", tmp_path / "out"))


def test_ratios_that_leave_nothing_for_test_are_refused(tmp_path, run):
    with pytest.raises(ConfigError, match="leave nothing for test"):
        run(run_split, plan_of(tmp_path, tmp_path / "out", train_ratio=0.8, val_ratio=0.2))


def test_a_file_exchanged_for_a_link_after_it_was_listed_is_not_copied(tmp_path):
    source, secret = fill(tmp_path / "in", {"a": {"x": 1}}), fill(tmp_path / "secret", {"c": {"s": 1}})
    taken = source / "a/x_0.jpg"
    taken.unlink()
    taken.symlink_to(secret / "c/s_0.jpg")
    with pytest.raises(UnreadablePictureError, match="outside the data roots"):
        copy_file(taken, tmp_path / "copy", roots=DataRoots.of([source]))
    with pytest.raises(UnreadablePictureError, match="outside the data roots"):
        read_picture(taken, roots=DataRoots.of([source]))
    assert not (tmp_path / "copy").exists()


def test_links_share_the_pictures_and_copies_do_not(tmp_path, run):
    source = fill(tmp_path / "in", FLIGHTS)
    run(run_split, plan_of(source, tmp_path / "linked", files="link"))
    run(run_split, plan_of(source, tmp_path / "copied"))
    assert tree_of(tmp_path / "linked") | {"preprocessing.json": b""} == tree_of(tmp_path / "copied") | {"preprocessing.json": b""}
    inodes = {path.stat().st_ino for path in source.rglob("*.jpg")}
    assert {path.stat().st_ino for path in (tmp_path / "linked").rglob("*.jpg")} == inodes
    assert not {path.stat().st_ino for path in (tmp_path / "copied").rglob("*.jpg")} & inodes


def test_where_files_cannot_be_shared_they_are_copied(tmp_path, monkeypatch):
    source = tmp_path / "a.jpg"
    source.write_bytes(b"picture")

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EXDEV, "two file systems")

    monkeypatch.setattr("os.link", refuse)
    link_file(source, tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_bytes() == b"picture"
    assert source.stat().st_nlink == 1


def test_no_link_is_made_to_what_lies_outside_the_roots(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root" / "a.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(UnreadablePictureError, match="outside the data roots"):
        link_file(tmp_path / "root" / "a.jpg", tmp_path / "root" / "b.jpg", roots=DataRoots.of([tmp_path / "root"]))
    assert not (tmp_path / "root" / "b.jpg").exists()
