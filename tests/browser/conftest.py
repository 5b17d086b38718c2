"""A real Chromium in front of the running service. A page that errs, or talks to another host, fails its test."""

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.driving import CHROMIUM, Faults, launch_chromium, new_context, open_view
from tests.service.driving import Service
from tests.service.http_client import Http
from tests.service.pictures import write_coloured


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module; it is ended before tests of other folders begin their own event loops."""
    if not CHROMIUM.is_file():
        message = f"{CHROMIUM} is missing; install Debian's package 'chromium'"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = launch_chromium(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def faults() -> Iterator[Faults]:
    """What the pages of a test did that they must not; the test fails where there is any."""
    seen = Faults()
    yield seen
    assert seen.unexpected() == []


@pytest.fixture
def context(browser: Browser, service: Service, faults: Faults) -> Iterator[BrowserContext]:
    """A visitor without a past, in English, on a wide screen."""
    visitor = new_context(browser, service.url)
    faults.watch(visitor, service.url)
    yield visitor
    visitor.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty tab of the visitor."""
    return context.new_page()


@pytest.fixture
def open_page(page: Page) -> Callable[[str], Page]:
    """Show a view of the page, such as ``/tasks``."""
    return lambda path: open_view(page, path)


@pytest.fixture(scope="session")
def http(service: Service) -> Iterator[Http]:
    """The service over HTTP, with a data set of two colours."""
    write_coloured(service.data_root / "browser_pictures")
    client = Http(service.url, service.data_root / "browser_pictures")
    yield client
    client.client.close()


@pytest.fixture(scope="session")
def trained(http: Http) -> dict:
    """A training of two epochs that has ended well."""
    task = http.train("browser_trained", num_epochs=2, save_path=str(http.data.parent / "browser_models"))
    return http.wait(task["task_id"], "completed")


@pytest.fixture
def waiting_line(http: Http) -> Iterator[Callable[[str], str]]:
    """Submit trainings that wait, because the processor takes none; gives a function from a name to the task's id."""
    http.limit("cpu:0", training=0)
    made: list[str] = []

    def submit(name: str) -> str:
        made.append(http.train(name, save_path=str(http.data.parent / "waiting"))["task_id"])
        http.wait(made[-1], "queued")
        return made[-1]

    yield submit
    for task_id in set(made) & set(http.unfinished()):
        http.post(f"/api/v2/tasks/{task_id}/cancel")
    http.limit("cpu:0", training=2)
