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
