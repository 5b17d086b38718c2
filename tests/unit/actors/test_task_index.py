from dataclasses import replace

from actors.core.tasks import TaskState
from actors.messages import TaskQuery
from actors.task_index import TaskIndex
from tests.unit.actors.test_store import make_task


def build(count):
    index, tasks = TaskIndex(), {}
    for number in range(count):
        task = make_task(f"t{number}", now=float(number // 2))  # pairs share a moment
        tasks[task.task_id] = task
        index.add(task)
    return index, tasks


def ids(page):
    return [task.task_id for task in page.tasks]


def test_pages_together_hold_every_task_once_newest_first():
    index, tasks = build(7)
    seen, cursor = [], None
    while True:
        page = index.page(TaskQuery(limit=3, cursor=cursor), tasks)
        seen += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]


def test_a_page_that_holds_exactly_all_has_no_cursor():
    index, tasks = build(3)
    assert index.page(TaskQuery(limit=3), tasks).next_cursor is None


def test_filters_keep_the_order():
    index, tasks = build(3)
    assert ids(index.page(TaskQuery(task_type="training"), tasks)) == ["t2", "t1", "t0"]
    assert ids(index.page(TaskQuery(task_type="inference"), tasks)) == []
    assert ids(index.page(TaskQuery(state=TaskState.PENDING, limit=1), tasks)) == ["t2"]


def test_a_removed_task_is_listed_no_more():
    index, tasks = build(3)
    index.remove("t1")
    del tasks["t1"]
    assert ids(index.page(TaskQuery(), tasks)) == ["t2", "t0"]


def test_a_position_stays_where_it_is_though_its_task_is_deleted_and_others_come():
    index, tasks = build(6)
    first = index.page(TaskQuery(limit=2), tasks)
    for task_id in (ids(first)[-1], "t2"):
        index.remove(task_id)
        del tasks[task_id]
    late = make_task("late", now=99.0)
    tasks["late"] = late
    index.add(late)
    assert ids(index.page(TaskQuery(cursor=first.next_cursor), tasks)) == ["t3", "t1", "t0"]


def test_a_batch_has_a_list_of_its_own_as_long_as_one_of_its_tasks_is_there():
    index, tasks = build(2)
    for number in range(3):
        task = make_task(f"b{number}", now=5.0)
        tasks[task.task_id] = task = replace(task, submission=replace(task.submission, batch_id="b"))
        index.add(task)
    query = TaskQuery(batch_id="b", limit=2)
    page = index.page(query, tasks)
    assert ids(page) == ["b2", "b1"]
    assert ids(index.page(replace(query, cursor=page.next_cursor), tasks)) == ["b0"]
    assert len(index.page(TaskQuery(), tasks).tasks) == 5
    for task_id in ("b0", "b1", "b2"):
        index.remove(task_id)
    assert ids(index.page(query, tasks)) == []
