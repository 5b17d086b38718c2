import asyncio
import json
import os
import threading

import pytest

from actors import log_hub
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


@pytest.mark.parametrize(
    "damage", [lambda line: line[:-9] + b"\n", lambda line: bytes(len(line) - 1) + b"\n", lambda line: line[9:]]
)
@pytest.mark.parametrize("which", [1, 3], ids=["middle", "last"])
def test_a_log_ends_before_its_first_damaged_line(tmp_path, damage, which):
    log = TaskLog(tmp_path / "log")
    log.append("a", drafts(1, 2, 3, 4))
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    lines[which] = damage(lines[which])
    (tmp_path / "log").write_bytes(b"".join(lines))
    again = TaskLog(tmp_path / "log")
    assert seqs(again.read(0, 10)) == list(range(1, which + 1))
    assert again.append("a", drafts(1, 2, 3, 4)) == 4


def test_a_block_of_zeros_within_a_line_is_damage(tmp_path):
    log = TaskLog(tmp_path / "log")
    log.append("a", drafts(1, 2, 3, message="x" * 100))
    content = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(content.replace(b"x 2", bytes(3)))
    assert seqs(TaskLog(tmp_path / "log").read(0, 10)) == [1]


def test_the_same_is_known_of_a_log_that_was_read_back(tmp_path):
    said = json.dumps({"is_last": True, "status": "completed"}, separators=(",", ":"))
    sources = ['so "called"', "a\\", "supervisor", "päge"]
    log = TaskLog(tmp_path / "log")
    for number, source in enumerate(sources, start=1):
        log.append(source, [LogDraft(number, 1.0, "INFO", said)])
    again = TaskLog(tmp_path / "log")
    assert not again.is_complete, "what a message says is not what the line is"
    assert [again.append(source, drafts(number)) for number, source in enumerate(sources, start=1)] == [4, 4, 4, 4]
    again.append("supervisor", [LogDraft(9, 1.0, "INFO", "end", status="completed", is_last=True)])
    assert TaskLog(tmp_path / "log").is_complete


def test_what_completes_a_log_is_brought_to_the_disk_and_nothing_else(hub, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    ask(hub.append("t", "a", drafts(1, 2)))
    assert synced == []
    last = [LogDraft(1, 1.0, "INFO", "done", status="completed", is_last=True)]
    ask(hub.append("t", "s", last))
    ask(hub.append("t", "s", last))
    assert len(synced) == 1


class SlowLogs:
    """Logs that are read back only when the test lets them, and how often that was begun."""

    def __init__(self):
        self.may_open = threading.Event()
        self.opened = []

    def __call__(self, path, **bounds):
        self.opened.append(path)
        assert self.may_open.wait(10)
        return TaskLog(path, **bounds)


@pytest.fixture
def slow(monkeypatch):
    slow = SlowLogs()
    monkeypatch.setattr(log_hub, "TaskLog", slow)
    return slow


class TestReadingBack:
    """A log that takes long to read back from disk."""

    def test_the_hub_answers_others_meanwhile_and_reads_it_once(self, hub, slow):
        async def use():
            reading = [asyncio.create_task(hub.read("t")) for _ in range(3)]
            writing = asyncio.create_task(hub.append("t", "a", drafts(1)))
            await asyncio.sleep(0)
            assert await hub.ping() > 0
            assert not any(each.done() for each in (*reading, writing))
            slow.may_open.set()
            await asyncio.gather(*reading, writing)
            assert len(slow.opened) == 1

        ask(use())

    def test_a_deletion_waits_for_it(self, hub, slow, tmp_path):
        async def use():
            TaskLog(hub._place.of("t")).append("a", drafts(1))
            reading = asyncio.create_task(hub.read("t"))
            await asyncio.sleep(0)
            forgetting = asyncio.create_task(hub.forget("t"))
            await asyncio.sleep(0)
            slow.may_open.set()
            assert seqs(await reading) == [1]
            await forgetting
            assert list((tmp_path / "logs/tasks").iterdir()) == []
            assert await hub.append("t", "a", drafts(1)) == 1
            assert len(list((tmp_path / "logs/tasks").iterdir())) == 1

        ask(use())


def test_more_followed_logs_than_are_kept_open_are_opened_for_their_readers_only(hub, slow, monkeypatch):
    monkeypatch.setattr(log_hub, "_MOST_OPEN", 2)
    slow.may_open.set()
    names = [f"t{number}" for number in range(6)]

    async def follow():
        following = [asyncio.create_task(hub.read(name, wait_s=30)) for name in names]
        await asyncio.sleep(0.05)
        assert len(slow.opened) == len(names)
        assert not any(each.done() for each in following)
        for name in names:
            await hub.append(name, "a", drafts(1))
        assert [seqs(answer) for answer in await asyncio.gather(*following)] == [[1]] * len(names)

    ask(follow())
