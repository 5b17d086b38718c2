import asyncio
import os

import pytest

from actors.log_hub import LogHub, TaskLog
from actors.messages import LogDraft


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
