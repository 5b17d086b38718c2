"""Pictures of the page for the README: ``python -m tests.browser.screenshots ADDRESS FOLDER [--task ID] [--recording FILE]``.

Shows a running service, so what stands in the pictures is what it does at the time. Without a task's id the newest training is shown; a
recording is tried out with the model that the page offers first.
"""

import argparse
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from tests.browser.driving import launch_chromium, new_context, open_view

#: For charts and the first figures, which come a moment after a view has begun.
SETTLE_MS = 2_500


def take(page: Page, path: str, file: Path, recording: Path | None = None) -> None:
    """Write a picture of a view, as much of it as a screen shows; a recording is put into its field first."""
    open_view(page, path)
    page.locator("main[data-ready]").wait_for()
    if recording:
        page.set_input_files("#try-files", recording)
        page.locator("main img").first.wait_for()
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)


def newest_training(url: str) -> str:
    """The id of the newest training, "" where there is none."""
    trainings = httpx.get(f"{url}/api/v2/tasks", params={"task_type": "training", "limit": 1}).json()["training_tasks"]
    return trainings[0]["task_id"] if trainings else ""


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task")
    parser.add_argument("--recording", type=Path)
    wish = parser.parse_args()
    url = wish.address.rstrip("/")
    wish.folder.mkdir(parents=True, exist_ok=True)
    views = {"overview": "/overview", "task": f"/tasks/{wish.task or newest_training(url)}", "try": "/try"}
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        page = new_context(browser, url).new_page()
        for name, path in views.items():
            take(page, path, wish.folder / f"{name}.png", wish.recording if name == "try" else None)
        browser.close()


if __name__ == "__main__":
    main()
