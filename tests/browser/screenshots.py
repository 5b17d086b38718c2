"""Pictures of the page for the README: ``python -m tests.browser.screenshots ADDRESS FOLDER [TASK_ID]``.

Shows a running service, so what stands in the pictures is what it does at the time. Without a task's id, the newest training is shown.
"""

import sys
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from tests.browser.driving import launch_chromium, new_context, open_view, set_theme

#: For charts and the first figures, which come a moment after a view has begun.
SETTLE_MS = 1_500


def take(page: Page, path: str, file: Path) -> None:
    """Write a picture of a view, as much of it as a screen shows."""
    open_view(page, path)
    page.locator("main[data-ready]").wait_for()
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)


def newest_training(url: str) -> str:
    """The id of the newest training, "" where there is none."""
    trainings = httpx.get(f"{url}/api/v2/tasks", params={"task_type": "training", "limit": 1}).json()["training_tasks"]
    return trainings[0]["task_id"] if trainings else ""


def main() -> None:
    """Write the pictures in both themes."""
    url, folder = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    task_id = sys.argv[3] if len(sys.argv) > 3 else newest_training(url)
    folder.mkdir(parents=True, exist_ok=True)
    views = {"overview": "/overview", "tasks": "/tasks", "models": "/models", "try": "/try"}
    if task_id:
        views["task"] = f"/tasks/{task_id}"
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        page = new_context(browser, url).new_page()
        for theme in ("light", "dark"):
            open_view(page, "/overview")
            set_theme(page, theme)
            for name, path in views.items():
                take(page, path, folder / f"{name}-{theme}.png")
        browser.close()


if __name__ == "__main__":
    main()
