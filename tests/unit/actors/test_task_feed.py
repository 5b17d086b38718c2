"""Which task changed after which: the numbers, what is kept, and the waiting for news."""

import asyncio

import pytest

from actors.core.model import WorkKind
from actors.core.task_events import AttemptProgressed, LeaseQueued, PriorityChanged, SaveTask, TaskSubmitted
from actors.core.task_flow import TaskFlow
from actors.core.tasks import Progress, Submission
from actors.task_feed import FeedPosition, TaskFeed
from actors.task_index import TaskIndex
from actors.task_watch import CHANGES_PER_ANSWER, LINE_NEWS_S, TaskWatch


class TestNumbers:
    def test_each_task_stands_once_at_its_last_change(self):
        feed = TaskFeed("a")
        for task_id in ("t1", "t2", "t1", "t3", "t1"):
            feed.note(task_id)
        assert feed.since(0, 10) == [(2, "t2"), (4, "t3"), (5, "t1")]
        assert feed.since(2, 10) == [(4, "t3"), (5, "t1")]
        assert feed.since(5, 10) == []

    def test_the_oldest_come_first_where_there_are_many(self):
        feed = TaskFeed("a")
        for number in range(10):
            feed.note(f"t{number}")
        assert feed.since(3, 2) == [(4, "t3"), (5, "t4")]

    def test_who_is_too_far_behind_is_not_known(self):
        feed = TaskFeed("a", most=3)
        for number in range(5):
            feed.note(f"t{number}")
        known = {after for after in range(8) if feed.knows(FeedPosition("a", after))}
        assert known == {2, 3, 4, 5}
        assert [task_id for _, task_id in feed.since(2, 10)] == ["t2", "t3", "t4"]

    def test_a_change_of_what_is_kept_drops_nothing(self):
        feed = TaskFeed("a", most=2)
        for task_id in ("t1", "t2", "t1", "t2"):
            feed.note(task_id)
        assert feed.knows(FeedPosition("a", 0))

    def test_positions_of_another_life_are_not_known_and_need_not_wait(self):
        feed = TaskFeed("a")
        assert not feed.knows(FeedPosition("b", 0))
        assert feed.has_news(FeedPosition("b", 0))
        assert not feed.has_news(FeedPosition("a", 0))


def submission(task_id):
    return Submission(task_id, WorkKind.TRAINING, "training", {"num_epochs": 2}, "cpu", 5)


class World:
    """Some tasks, and the watch over them."""

    def __init__(self, *task_ids):
        self.flow, self.index = TaskFlow(), TaskIndex()
        self.watch = TaskWatch(self.flow, self.index)
        for task_id in task_ids:
            self.handle(TaskSubmitted(submission(task_id)))

    def handle(self, event):
        for command in self.flow.handle(event, now=1.0):
            if isinstance(command, SaveTask):
                self.watch.note(command.task.task_id)

    async def changes(self, position, wait_s=0.0):
        news = await self.watch.news(position, wait_s)
        return [(each.task_id, each.task) for each in news.changes], news.position


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
class TestNews:
    async def test_somebody_new_learns_where_the_feed_stands_and_nothing_else(self):
        world = World("t1", "t2")
        news = await world.watch.news(FeedPosition(), 5.0)
        assert (news.changes, news.is_reset, news.seq) == ((), False, 2)
        assert (await world.watch.news(news.position, 0.0)).seq == 2

    async def test_who_waits_gets_the_next_change_without_its_history(self):
        world = World("t1")
        position = (await world.watch.news(FeedPosition(), 0.0)).position
        asked = asyncio.create_task(world.changes(position, 5.0))
        await asyncio.sleep(0)
        world.handle(PriorityChanged("t1", 1))
        ((task_id, task),), after = await asyncio.wait_for(asked, 1)
        assert (task_id, task.priority, task.history) == ("t1", 1, ())
        assert await world.changes(after) == ([], after)

    async def test_positions_that_are_not_known_are_answered_at_once(self):
        news = await World("t1").watch.news(FeedPosition("0f", 7), 5.0)
        assert (news.is_reset, news.seq, news.changes) == (True, 1, ())

    async def test_what_was_deleted_is_told_without_a_task(self):
        world = World("t1")
        position = (await world.watch.news(FeedPosition(), 0.0)).position
        world.flow.discard("t1")
        world.watch.forget("t1")
        assert (await world.changes(position))[0] == [("t1", None)]

    async def test_many_changes_come_in_parts_that_join(self):
        names = [f"t{number:03}" for number in range(CHANGES_PER_ANSWER + 5)]
        world = World()
        position = (await world.watch.news(FeedPosition(), 0.0)).position
        for name in names:
            world.handle(TaskSubmitted(submission(name)))
        first, position = await world.changes(position)
        second, _ = await world.changes(position)
        assert [name for name, _ in first + second] == names
        assert len(first) == CHANGES_PER_ANSWER

    async def test_a_line_that_moves_is_told_once_for_all_its_moves(self, monkeypatch):
        monkeypatch.setattr("actors.task_watch.LINE_NEWS_S", 0.01)
        world = World("t1", "t2", "t3")
        for name in ("t1", "t2", "t3"):
            world.handle(LeaseQueued(f"{name}.1", "limit"))
        position = (await world.watch.news(FeedPosition(), 0.0)).position
        world.watch.take_line(["t1.1", "t2.1", "t3.1"])
        world.watch.take_line(["t1.1", "t3.1", "t2.1"])
        assert (await world.changes(position))[0] == []
        told, position = await world.changes(position, 5.0)
        assert {name: task.queue_position for name, task in told} == {"t1": 1, "t2": 3, "t3": 2}
        world.watch.take_line(["t1.1", "t3.1"])
        assert [name for name, _ in (await world.changes(position, 5.0))[0]] == ["t2"]

    async def test_a_line_that_stands_is_no_news(self):
        world = World("t1")
        world.watch.take_line(["t1.1"])
        position = (await world.watch.news(FeedPosition(), 0.0)).position
        world.watch._tell_line()
        _, position = await world.changes(position)
        world.watch.take_line(["t1.1"])
        world.watch._tell_line()
        assert (await world.changes(position))[0] == []

    def test_places_are_told_at_most_once_a_second(self):
        assert LINE_NEWS_S >= 1.0

    async def test_the_figures_of_one_that_does_not_run_change_nothing(self):
        world = World("t1")
        position = (await world.watch.news(FeedPosition(), 0.0)).position
        world.handle(AttemptProgressed("t1.1", Progress(50)))
        assert (await world.changes(position))[0] == []
