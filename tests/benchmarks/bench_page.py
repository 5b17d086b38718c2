"""How fast the web page is: its first view, a list of 1,000 tasks, a log of 10,000 lines.

Starts a service of its own (or asks the one whose address is given) and drives it with Chromium on the same machine. The thousand tasks
and the log are answers put in the place of the service's, so that only the page is measured with them. Stutter is told twice: as the
tasks of the main thread that took longer than 50 ms, and as the longest one by the processor time it took, which a busy machine
does not stretch.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, sync_playwright

from cluster.ports import find_free_port
from tests.browser.driving import launch_chromium, new_context
from tests.service.driving import run_cli

TASKS = 1_000
LINES = 10_000
ROUNDS = 5
SETTLE_MS = 500
#: Counts the main thread's work that is longer than 50 ms.
WATCH_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((each) => Math.round(each.duration))))
  .observe({ type: "longtask", buffered: true });
"""
TASK = {
    "task_id": "",
    "task_type": "training",
    "status": "completed",
    "message": "trained 6 epochs, best validation accuracy 81.25 %",
    "progress": 100,
    "device": "cuda:0",
    "priority": 5,
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:10:00+00:00",
    "current_epoch": 6,
    "total_epochs": 6,
    "latest_metrics": None,
    "name": "",
    "model": "resnet18",
    "batch_size": 16,
    "description": "",
    "queue_position": None,
    "attempts": 1,
    "error": None,
    "lease": None,
    "started_at": "2026-01-01T00:01:00+00:00",
    "finished_at": "2026-01-01T00:10:00+00:00",
    "output_path": "models/run",
}


def make_tasks() -> list[dict]:
    """Tasks of every state, the newest first."""
    states = ("completed", "running", "queued", "failed", "cancelled")
    tasks = []
    for number in range(TASKS):
        state = states[number % len(states)]
        at = f"2026-01-01T{number // 60 % 24:02}:{number % 60:02}:00+00:00"
        ended = state in ("completed", "failed", "cancelled")
        tasks.append(
            TASK
            | {"task_id": f"task-{number:04}", "name": f"run {number}", "status": state, "created_at": at, "updated_at": at}
            | {"progress": 100 if ended else number % 100, "finished_at": at if ended else None}
        )
    return tasks


def open_page(browser: Browser, url: str) -> Page:
    """A tab of a visitor without a past that counts its long tasks."""
    context = new_context(browser, url)
    context.add_init_script(WATCH_LONG_TASKS)
    return context.new_page()


def measure_first_view(browser: Browser, url: str) -> None:
    """Print how soon a visitor without a past sees the overview with its figures, and how much was sent for it."""
    painted, ready, sent, count = [], [], 0, 0
    for _ in range(ROUNDS):
        page = open_page(browser, url)
        page.goto("/ui/", wait_until="commit")
        page.locator("main[data-ready]").wait_for()
        ready.append(page.evaluate("performance.now()"))
        painted.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"))
        entries = page.evaluate(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map((each) => each.transferSize)"
        )
        sent, count = sum(entries), len(entries)
        page.context.close()
    print(
        f"first view: painted after {statistics.median(painted):.0f} ms, with its figures after {statistics.median(ready):.0f} ms"
    )
    print(f"first view: {sent / 1000:.0f} kB in {count} answers, without the chart library")


def measure_list(browser: Browser, url: str) -> None:
    """Print how long the main thread was held while the list came, when one task changed, and when all were filtered."""
    tasks = make_tasks()
    page = open_page(browser, url)

    def answer(route: Route) -> None:
        empty = {
            "inference_tasks": [],
            "preprocessing_tasks": [],
            "total_inference": 0,
            "total_preprocessing": 0,
            "next_cursor": None,
        }
        route.fulfill(json={"training_tasks": tasks, "total_training": len(tasks)} | empty)

    page.route("**/api/v2/tasks?*", answer)
    with watched(browser, page, f"{TASKS} tasks: while they came"):
        page.goto("/ui/#/tasks")
        page.locator(f".task-body > :nth-child({TASKS})").wait_for(state="attached", timeout=120_000)
    changed = tasks[1] | {"progress": 77, "updated_at": "2026-01-02T00:00:00+00:00", "name": "changed run"}
    with watched(browser, page, f"{TASKS} tasks: when one changed"):
        page.evaluate("(task) => import('/ui/js/state.js').then((state) => state.takeEvent({ kind: 'task', task }))", changed)
        page.locator(f"[data-key={changed['task_id']}] a", has_text="changed run").wait_for(state="attached")
    with watched(browser, page, f"{TASKS} tasks: when they were filtered and shown again"):
        page.locator("#filter-q").fill("run 99")
        page.locator("#filter-q").fill("")
        page.locator(f".task-body > :nth-child({TASKS})").wait_for(state="attached", timeout=120_000)
    page.context.close()


def measure_log(browser: Browser, url: str) -> None:
    """Print how long the main thread was held by a log that comes all at once, and how many elements it has then."""
    page = open_page(browser, url)
    records = [
        {"timestamp": "2026-01-01T00:00:00+00:00", "level": "INFO", "message": f"Epoch 1/1, batch {number}/{LINES}: train_loss 0.5"}
        for number in range(LINES)
    ]
    records[-1]["status"] = "completed"
    stream = "".join(f"id: {number + 1}\ndata: {json.dumps(record)}\n\n" for number, record in enumerate(records))
    task = TASK | {"task_id": "long-log", "name": "long log", "task_type": "image_crop", "started_at": None}
    page.route("**/api/v2/tasks/long-log", lambda route: route.fulfill(json=task))
    page.route("**/api/v2/tasks/long-log/history", lambda route: route.fulfill(json={"task_id": "long-log", "history": []}))
    page.route("**/api/v2/tasks/long-log/logs", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
    with watched(browser, page, f"{LINES} lines at once"):
        page.goto("/ui/#/tasks/long-log")
        page.get_by_text(f"{LINES:,} of {LINES:,} lines").wait_for()
    print(f"{LINES} lines at once: {page.locator('.log-line').count()} of them have elements")
    page.context.close()


@contextmanager
def watched(browser: Browser, page: Page, what: str) -> Iterator[None]:
    """Print what the main thread was held by while something was done on a page."""
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
    yield
    page.wait_for_timeout(SETTLE_MS)
    long = page.evaluate("window.longTasks.splice(0)")
    events = json.loads(browser.stop_tracing())["traceEvents"]
    main_threads = {(each["pid"], each["tid"]) for each in events if each.get("args", {}).get("name") == "CrRendererMain"}
    runs = [
        each["tdur"] / 1000
        for each in events
        if (each["pid"], each["tid"]) in main_threads and "tdur" in each and each["name"].endswith("RunTask")
    ]
    print(
        f"{what}: long tasks {long} ms; the longest took {max(runs, default=0):.0f} ms of the processor, all together {sum(runs):.0f} ms"
    )


@contextmanager
def service_url(given: list[str]) -> Iterator[str]:
    """The address of the service to ask: the one that is given, else one that is started here and ended."""
    if given:
        yield given[0]
        return
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), find_free_port()
        (folder / "data").mkdir()
        options = ["--port", port, "--state-dir", folder / "state", "--simulate-gpus", 2, "--data-root", folder / "data"]
        begun = run_cli("up", "--detach", *options, cwd=folder)
        if begun.returncode:
            sys.exit(begun.stdout + begun.stderr)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            run_cli("down", "--state-dir", folder / "state", cwd=folder)


def main() -> None:
    """Measure everything."""
    with service_url(sys.argv[1:]) as url, sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        measure_first_view(browser, url)
        measure_list(browser, url)
        measure_log(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
