import asyncio
import os

import pytest

from actors.log_file import TaskLog
from actors.log_hub import LogHub
from actors.messages import LogDraft
from tests.small_disk import fill_up, small_disk


def drafts(*indexes, message="line", **marks):
    return [LogDraft(index, 1.0, "INFO", f"{message} {index}", **marks) for index in indexes]


def ask(coroutine):
    return asyncio.run(coroutine)


@pytest.fixture
def hub(tmp_path):
    return LogHub(tmp_path)


def seqs(answer):
    return [line.seq for line in answer.lines]


def test_lines_of_all_sources_share_one_numbering_without_gaps(hub):
    assert ask(hub.append("t", "a", drafts(1, 2))) == 2
    assert ask(hub.append("t", "supervisor", drafts(1))) == 3
    assert seqs(ask(hub.read("t"))) == [1, 2, 3]


def test_lines_that_are_sent_again_are_not_written_again(hub):
    ask(hub.append("t", "a", drafts(1, 2)))
    assert ask(hub.append("t", "a", drafts(1, 2, 3))) == 3
    assert [line.message for line in ask(hub.read("t")).lines] == ["line 1", "line 2", "line 3"]


def test_a_reader_gets_what_follows_its_position(hub):
    ask(hub.append("t", "a", drafts(*range(1, 11))))
    assert seqs(ask(hub.read("t", after=7))) == [8, 9, 10]
    assert seqs(ask(hub.read("t", after=2, limit=3))) == [3, 4, 5]
    assert seqs(ask(hub.read("t", after=10))) == []
    assert seqs(ask(hub.read("t", after=99))) == []


def test_a_log_survives_its_hub_with_everything_a_line_carries(hub, tmp_path):
    line = LogDraft(1, 2.5, "WARNING", "päge\nbreak", "validation", 7, {"val_acc": 97.5}, "running", 50)
    ask(hub.append("t", "a", [line]))
    ask(hub.append("t", "s", [LogDraft(1, 3.0, "INFO", "done", status="completed", is_last=True)]))
    answer = ask(LogHub(tmp_path).read("t"))
    first = answer.lines[0]
    assert (first.at, first.level, first.message, first.stage, first.step) == (2.5, "WARNING", "päge\nbreak", "validation", 7)
    assert (first.metrics, first.status, first.progress) == ({"val_acc": 97.5}, "running", 50)
    assert answer.is_complete
    assert ask(LogHub(tmp_path).append("t", "a", drafts(2))) == 2, "nothing may follow the last line"


def test_sent_again_after_a_restart_is_still_not_written_again(hub, tmp_path):
    ask(hub.append("t", "a", drafts(1, 2)))
    assert ask(LogHub(tmp_path).append("t", "a", drafts(2, 3))) == 3


def test_a_line_that_a_crash_cut_short_is_removed(hub, tmp_path):
    ask(hub.append("t", "a", drafts(1, 2)))
    (path,) = (tmp_path / "logs/tasks").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    again = LogHub(tmp_path)
    assert seqs(ask(again.read("t"))) == [1]
    assert ask(again.append("t", "a", drafts(2))) == 2
    assert seqs(ask(again.read("t"))) == [1, 2]


def test_only_reading_to_the_end_says_complete(hub):
    ask(hub.append("t", "a", drafts(1, 2)))
    ask(hub.append("t", "s", [LogDraft(1, 1.0, "INFO", "end", status="failed", is_last=True)]))
    assert not ask(hub.read("t", after=0, limit=2)).is_complete
    assert ask(hub.read("t", after=2)).is_complete
    assert ask(hub.read("t", after=3)).is_complete


def test_a_waiting_reader_is_woken_by_the_next_line(hub):
    async def wait_and_write():
        reader = asyncio.create_task(hub.read("t", after=0, wait_s=30))
        other = asyncio.create_task(hub.read("t", after=0, wait_s=30))
        await asyncio.sleep(0)
        await hub.append("t", "a", drafts(1))
        return await reader, await other

    first, second = ask(wait_and_write())
    assert seqs(first) == seqs(second) == [1]


def test_waiting_ends_empty_when_nothing_comes(hub):
    assert ask(hub.read("t", wait_s=0.01)).lines == ()


def test_a_forgotten_log_is_gone_from_disk(hub, tmp_path):
    ask(hub.append("t", "a", drafts(1)))
    ask(hub.forget("t"))
    assert list((tmp_path / "logs/tasks").iterdir()) == []
    assert ask(hub.append("t", "a", drafts(1))) == 1


def test_a_task_id_is_never_a_file_name(hub, tmp_path):
    ask(hub.append("../../evil", "a", drafts(1)))
    assert [path.suffix for path in (tmp_path / "logs/tasks").iterdir()] == [".jsonl"]
    assert not (tmp_path / "evil").exists()


def test_a_full_disk_loses_no_written_line_and_accepts_the_rest_later(tmp_path, monkeypatch):
    log = TaskLog(tmp_path / "log")
    log.append("a", drafts(1))
    real_write = os.write

    def short_write(descriptor, data):
        return real_write(descriptor, data[:10])

    monkeypatch.setattr(os, "write", short_write)
    with pytest.raises(OSError, match="No space"):
        log.append("a", drafts(2, 3))
    monkeypatch.setattr(os, "write", real_write)
    assert seqs(log.read(0, 10)) == [1]
    assert log.append("a", drafts(2, 3)) == 3
    assert [line.message for line in log.read(0, 10).lines] == ["line 1", "line 2", "line 3"]


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1) as folder:
        yield folder


class TestFullDisk:
    def test_what_it_does_not_take_is_taken_when_it_is_sent_again(self, disk):
        hub = LogHub(disk)
        ask(hub.append("t", "a", drafts(1)))
        ballast = fill_up(disk)
        many = drafts(*range(2, 102), message="x" * 100)
        with pytest.raises(OSError, match="No space"):
            ask(hub.append("t", "a", many))
        assert seqs(ask(hub.read("t"))) == [1], "what was written stays, and nothing of the rest is shown"
        ballast.unlink()
        assert ask(hub.append("t", "a", many)) == 101
        assert seqs(ask(LogHub(disk).read("t"))) == list(range(1, 102))

    def test_a_hub_that_starts_on_it_reads_and_goes_on_later(self, disk):
        ask(LogHub(disk).append("t", "a", drafts(1)))
        ballast = fill_up(disk)
        again = LogHub(disk)
        assert seqs(ask(again.read("t"))) == [1]
        assert ask(again.read("nobody wrote this")).lines == ()
        with pytest.raises(OSError, match="No space"):
            ask(again.append("t", "a", drafts(*range(2, 102))))
        ballast.unlink()
        assert ask(again.append("t", "a", drafts(2))) == 2

    def test_the_hub_says_so_until_there_is_room(self, disk):
        hub = LogHub(disk)
        assert ask(hub.trouble()) == ""
        ballast = fill_up(disk)
        with pytest.raises(OSError, match="No space"):
            ask(hub.append("t", "a", drafts(1)))
        assert "No space left on device" in ask(hub.trouble())
        ballast.unlink()
        assert ask(hub.trouble()) == ""
        assert sorted(path.name for path in (disk / "logs/tasks").iterdir()) in ([], [path_of(hub, "t").name])


def path_of(hub, task_id):
    return hub._place.of(task_id)


class TestBound:
    """What becomes of a log that reaches the size of one log."""

    def test_beyond_it_only_what_matters_is_kept_behind_a_line_that_says_so(self, tmp_path):
        hub = LogHub(tmp_path, most_log_bytes=300)
        ask(hub.append("t", "a", drafts(*range(1, 11), message="word")))
        ask(hub.append("t", "a", [LogDraft(11, 1.0, "ERROR", "bad"), LogDraft(12, 1.0, "INFO", "more")]))
        ask(hub.append("t", "s", [LogDraft(1, 1.0, "INFO", "the end", status="completed", is_last=True)]))
        answer = ask(hub.read("t"))
        assert seqs(answer) == list(range(1, len(answer.lines) + 1))
        messages = [line.message for line in answer.lines]
        notice = messages.index(next(each for each in messages if "RFUAV_MAX_LOG_MB" in each))
        assert all(each.startswith("word") for each in messages[:notice])
        assert messages[notice + 1 :] == ["bad", "the end"]
        assert answer.is_complete

    def test_it_is_said_once_also_by_the_hubs_that_follow(self, tmp_path):
        ask(LogHub(tmp_path, most_log_bytes=100).append("t", "a", drafts(1, 2, 3, 4)))
        again = LogHub(tmp_path, most_log_bytes=100)
        ask(again.append("t", "a", [*drafts(3, 4, 5), LogDraft(6, 1.0, "WARNING", "grave")]))
        messages = [line.message for line in ask(again.read("t")).lines]
        assert sum("RFUAV_MAX_LOG_MB" in each for each in messages) == 1
        assert messages[-1] == "grave"

    def test_without_a_bound_everything_is_kept(self, hub):
        assert ask(hub.append("t", "a", drafts(*range(1, 501)))) == 500


def test_a_line_that_is_not_the_next_one_is_cut_off(tmp_path):
    log = TaskLog(tmp_path / "log")
    log.append("a", drafts(1, 2))
    content = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(content + content)
    assert seqs(TaskLog(tmp_path / "log").read(0, 10)) == [1, 2]


def test_reading_a_log_that_nobody_wrote_makes_no_file(hub, tmp_path):
    ask(hub.read("t"))
    assert list((tmp_path / "logs/tasks").iterdir()) == []
