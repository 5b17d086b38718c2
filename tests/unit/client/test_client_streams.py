"""Streams that break, begin again and end; waiting over a restart; downloads that are taken up again."""

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.client import ApiError, BrokenTransferError, KeyNeededError, NoAnswerError, UnreachableError, WaitEndedError
from cluster.client.streams import SentEvent, SseParser
from tests.unit.client.both import Script, answer, refusal, stream, task

REFUSED = httpx.ConnectError("connection refused")


def line(number, message="", **fields):
    record = {"timestamp": f"2025-06-15T15:06:{number:02}+00:00", "level": "INFO", "message": message or f"line {number}"} | fields
    return b"id: %d\ndata: %b\n\n" % (number, json.dumps(record).encode())


def epoch(number, n):
    return line(number, stage="epoch_end", metrics={"epoch": n, "val_acc": 50.0 + n})


END = b'data: {"status": "completed", "message": "done"}\n\n'
COMMENT = b": still here\n\n"


class TestParsing:
    @given(st.lists(st.tuples(st.integers(1, 9), st.text("ab:é \u2028"))), st.integers(1, 7), st.sampled_from(["\n", "\r\n"]))
    def test_events_are_the_same_however_the_bytes_are_cut(self, events, size, ending):
        text = "".join(f": c{ending}{ending}id: {number}{ending}data: {data}{ending}{ending}" for number, data in events)
        sent = text.encode()
        parser = SseParser()
        found = [event for start in range(0, len(sent), size) for event in parser.feed(sent[start : start + size])]
        assert found == [SentEvent(str(number), data) for number, data in events]

    def test_an_event_of_several_lines_is_one(self):
        assert list(SseParser().feed(b"data: a\ndata:b\n\n")) == [SentEvent("", "a\nb")]

    def test_what_is_not_ended_is_no_event(self):
        assert list(SseParser().feed(b"id: 1\ndata: a\n")) == []


class TestFollowing:
    def test_a_broken_stream_goes_on_after_the_last_line(self, make_client):
        script = Script(stream(line(1), line(2), breaks=True), REFUSED, stream(line(3), END))
        client = make_client(script)
        records = client.items("follow_log", "t1")
        assert [each.message for each in records] == ["line 1", "line 2", "line 3", "done"]
        assert records[-1].status == "completed"
        assert [each.headers.get("Last-Event-ID") for each in script.requests] == [None, "2", "2"]
        assert len(client.time.pauses) == 2

    def test_a_line_that_was_cut_comes_whole_once(self, make_client):
        script = Script(stream(line(1), line(2)[:20], breaks=True), stream(line(2), END))
        assert [each.message for each in make_client(script).items("follow_log", "t1")] == ["line 1", "line 2", "done"]

    def test_a_stream_that_ends_without_the_tasks_end_is_opened_again(self, make_client):
        script = Script(stream(line(1)), stream(COMMENT, line(2, status="failed")))
        assert [each.status for each in make_client(script).items("follow_log", "t1")] == [None, "failed"]

    def test_it_begins_where_the_caller_says(self, make_client):
        script = Script(stream(END))
        make_client(script).items("follow_log", "t1", after=7)
        assert script.requests[0].headers["Last-Event-ID"] == "7"

    def test_a_service_that_starts_again_is_waited_for(self, make_client):
        away = [refusal(503, "not_ready", Retry_After="1"), httpx.Response(404, text="no such app"), httpx.Response(502)]
        script = Script(stream(line(1), breaks=True), *away, stream(END))
        assert len(make_client(script).items("follow_log", "t1")) == 2

    def test_a_log_hub_that_is_away_is_waited_for(self, make_client):
        told = b'data: {"status": "error", "code": "not_ready", "message": "log_hub"}\n\n'
        assert len(make_client(Script(stream(line(1), told), stream(END))).items("follow_log", "t1")) == 2

    def test_an_error_on_the_way_is_raised(self, make_client):
        told = b'data: {"status": "error", "code": "task_not_found", "message": "gone"}\n\n'
        with pytest.raises(ApiError, match="gone") as caught:
            make_client(Script(stream(line(1), told))).items("follow_log", "t1")
        assert caught.value.status == 404

    def test_a_key_that_is_revoked_on_the_way_is_told_so(self, make_client):
        told = b'data: {"status": "error", "code": "key_required", "message": "the key was revoked"}\n\n'
        with pytest.raises(KeyNeededError):
            make_client(Script(stream(told))).items("follow_log", "t1")

    def test_an_unknown_task_is_told_at_once(self, make_client):
        script = Script(refusal(404, "task_not_found"))
        with pytest.raises(ApiError, match="task_not_found"):
            make_client(script).items("follow_log", "t1")

    def test_patience_ends(self, make_client):
        client = make_client(Script(stream(line(1), breaks=True), *[REFUSED] * 1000))
        with pytest.raises(UnreachableError):
            client.items("follow_log", "t1")
        assert 200 < sum(client.time.pauses) <= 300

    @pytest.mark.parametrize("kind", ["text/html", "application/json; charset=utf-8", ""])
    def test_what_answers_but_streams_nothing_is_no_service(self, make_client, kind):
        client = make_client(lambda _request: httpx.Response(200, content=b"welcome", headers={"Content-Type": kind}))
        with pytest.raises(NoAnswerError, match="/logs sends no events"):
            client.items("follow_log", "t1")
        assert client.time.pauses == []

    def test_a_stream_that_says_nothing_is_given_up(self, make_client):
        client = make_client(lambda _request: stream(b"\n", b"retry: 5\n"))
        with pytest.raises(NoAnswerError, match="ended early"):
            client.items("follow_log", "t1")
        assert 200 < sum(client.time.pauses) <= 300

    def test_comments_keep_a_quiet_stream_alive(self, make_client):
        script = Script(*[stream(COMMENT) for _ in range(100)], stream(END))
        client = make_client(script)
        assert len(client.items("follow_log", "t1")) == 1
        assert max(client.time.pauses) <= 0.25

    def test_who_leaves_early_leaves_the_connection_closed(self, make_client):
        opened = stream(line(1), line(2))
        assert len(make_client(Script(opened)).items("follow_log", "t1", most=1)) == 1
        assert opened.is_closed

    def test_epochs_come_once_even_where_an_attempt_repeats_them(self, make_client):
        script = Script(stream(line(1), epoch(2, 1), epoch(3, 2), breaks=True), stream(epoch(4, 2), epoch(5, 3), END))
        epochs = make_client(script).items("follow_metrics", "t1")
        assert [each["epoch"] for each in epochs] == [1, 2, 3]


class TestEvents:
    def test_each_kind_is_its_model_and_unknown_ones_are_left_out(self, make_client):
        told = [
            {"kind": "reset"},
            {"kind": "task", "task": task()},
            {"kind": "news"},
            {"kind": "models", "revision": 7},
            {"kind": "task_deleted", "task_id": "t1"},
        ]
        events = [b"id: a-%d\ndata: %b\n\n" % (number, json.dumps(each).encode()) for number, each in enumerate(told)]
        script = Script(stream(*events[:2], breaks=True), stream(*events[2:]))
        found = make_client(script).items("events", most=4)
        assert [each.kind for each in found] == ["reset", "task", "models", "task_deleted"]
        assert script.requests[1].headers["Last-Event-ID"] == "a-1"


class TestWaiting:
    def test_it_looks_until_the_task_has_ended_and_tells_every_change(self, make_client):
        looks = [task(), task(), task(status="running", progress=5), REFUSED, task(status="completed", progress=100)]
        client = make_client(Script(*(each if isinstance(each, Exception) else answer(each) for each in looks)))
        seen = []
        assert client.call("wait", "t1", on_change=seen.append)["status"] == "completed"
        assert [each["status"] for each in seen] == ["queued", "running", "completed"]

    def test_its_time_ends(self, make_client):
        client = make_client(lambda _request: answer(task(status="running")))
        with pytest.raises(WaitEndedError, match="t1 is running after 5 s"):
            client.call("wait", "t1", timeout_s=5)
        assert sum(client.time.pauses) <= 5

    @pytest.mark.parametrize("away", ["refused", "silent", "bad gateway", "not ready"])
    def test_its_time_ends_while_the_service_is_away_too(self, make_client, away):
        faults = {"refused": REFUSED, "silent": httpx.ReadTimeout("no answer")}
        answers = {"bad gateway": lambda: httpx.Response(502), "not ready": lambda: refusal(503, "not_ready")}
        faulty = [faults[away] if away in faults else answers[away]() for _ in range(100)]
        client = make_client(Script(answer(task()), *faulty))
        with pytest.raises(WaitEndedError, match="t1: the service did not answer within 20 s"):
            client.call("wait", "t1", timeout_s=20)
        assert 10 < sum(client.time.pauses) <= 20

    def test_a_batch_is_waited_for_no_longer_either(self, make_client):
        client = make_client(lambda _request: httpx.Response(502))
        with pytest.raises(WaitEndedError, match="b1: "):
            client.call("wait_for_batch", "b1", timeout_s=20)

    def test_a_look_is_given_no_more_than_the_time_that_is_left(self, make_client):
        script = Script(answer(task()), *[REFUSED] * 50)
        with pytest.raises(WaitEndedError):
            make_client(script).call("wait", "t1", timeout_s=20)
        timeouts = [each.extensions["timeout"] for each in script.requests]
        assert all(each["connect"] == each["read"] <= 20 for each in timeouts)
        assert timeouts[-1]["read"] < 10

    def test_patience_that_ends_before_the_time_is_told_as_such(self, make_client):
        with pytest.raises(UnreachableError):
            make_client(Script(*[REFUSED] * 1000)).call("wait", "t1", timeout_s=10_000)

    def test_what_does_not_pass_is_told_in_time_too(self, make_client):
        with pytest.raises(ApiError, match="task_not_found"):
            make_client(Script(refusal(404, "task_not_found"))).call("wait", "t1", timeout_s=5)

    def test_a_restart_takes_longer_than_a_single_calls_patience(self, make_client):
        client = make_client(Script(*[REFUSED] * 30, answer(task(status="failed"))))
        assert client.call("wait", "t1")["status"] == "failed"
        assert sum(client.time.pauses) > 60

    def test_a_proxy_that_knows_no_routes_while_the_service_starts_is_no_end(self, make_client):
        script = Script(answer(task()), httpx.Response(404, text="no such app"), answer(task(status="completed")))
        assert make_client(script).call("wait", "t1")["status"] == "completed"

    def test_a_task_that_was_never_there_is_an_end(self, make_client):
        with pytest.raises(ApiError, match="task_not_found"):
            make_client(Script(answer(task()), refusal(404, "task_not_found"))).call("wait", "t1")


class TestPages:
    def test_rows_of_all_pages_come_in_order_and_pages_only_when_wanted(self, make_client):
        def page(cursor, *ids):
            rows = [task(each, created_at=f"2025-06-15T15:06:{int(each):02}+00:00") for each in ids]
            kinds = {"training_tasks": rows[1:], "inference_tasks": rows[:1], "preprocessing_tasks": []}
            totals = {"total_training": len(rows) - 1, "total_inference": 1, "total_preprocessing": 0}
            return answer(kinds | totals | {"next_cursor": cursor})

        script = Script(page("c1", "9", "8", "7"), page(None, "6"))
        client = make_client(script)
        assert [each["task_id"] for each in client.items("tasks", status="queued")] == ["9", "8", "7", "6"]
        assert [each.url.params.get("cursor") for each in script.requests] == [None, "c1"]
        few = Script(page("c1", "9", "8"))
        assert len(make_client(few).items("tasks", most=2)) == 2


class TestDownloads:
    def part(self, *pieces, status=200, breaks=False, **headers):
        return stream(*pieces, status=status, breaks=breaks, **({"etag": '"v1"', "content-length": "10"} | headers))

    def test_a_broken_download_is_taken_up_where_it_was(self, make_client, tmp_path):
        rest = self.part(b"67890", status=206, **{"content-length": "5"})
        script = Script(self.part(b"123", b"45", breaks=True), REFUSED, rest)
        seen = []
        target = make_client(script).call("download", "t1", "a/b.csv", tmp_path, on_progress=lambda *each: seen.append(each))
        assert (target, target.read_bytes()) == (tmp_path / "b.csv", b"1234567890")
        assert script.requests[2].headers["Range"] == "bytes=5-"
        assert script.requests[2].headers["If-Range"] == '"v1"'
        assert seen == [(3, 10), (5, 10), (10, 10)]

    def test_a_file_that_changed_meanwhile_is_not_put_together(self, make_client, tmp_path):
        script = Script(self.part(b"12345", breaks=True), self.part(b"abcdefghij"))
        with pytest.raises(BrokenTransferError, match="changed"):
            make_client(script).call("download", "t1", "b.csv", tmp_path / "here.csv")
        assert list(tmp_path.iterdir()) == []

    def test_what_does_not_exist_leaves_nothing_behind(self, make_client, tmp_path):
        with pytest.raises(ApiError, match="path_not_found"):
            make_client(Script(refusal(404, "path_not_found"))).call("download", "t1", "b.csv", tmp_path)
        assert list(tmp_path.iterdir()) == []
