"""Driving the page as a visitor does, and what a page may not do while it is driven."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, expect

#: Debian's Chromium: nothing is downloaded for the tests.
CHROMIUM = Path("/usr/bin/chromium")
WIDE = {"width": 1360, "height": 900}
NARROW = {"width": 420, "height": 860}
#: How long the page may take to show what the service already knows; the machine may be busy with trainings.
PATIENCE_MS = 30_000


@dataclass
class Faults:
    """What a page did that it must not: errors on its console, exceptions, requests to other hosts.

    Attributes:
        found: what was seen, in order.
        allowed: patterns of console lines that a test provokes itself, such as those of a service that was killed.
    """

    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, *patterns: str) -> None:
        """Take lines that match one of these regular expressions as wanted by the test."""
        self.allowed += patterns

    def unexpected(self) -> list[str]:
        """What nobody allowed."""
        return [line for line in self.found if not any(re.search(pattern, line) for pattern in self.allowed)]

    def watch(self, context: BrowserContext, url: str) -> None:
        """Note the faults of every page of a context; ``url`` is the only place it may talk to."""
        own = urlsplit(url).netloc

        def note_line(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.found.append(f"console: {message.text} ({message.location.get('url', '')})")

        def note_request(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob") and parts.netloc != own:
                self.found.append(f"request to another host: {request.url}")

        context.on("console", note_line)
        context.on("weberror", lambda error: self.found.append(f"exception: {error.error}"))
        context.on("request", note_request)


def launch_chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium without a window."""
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"])


def new_context(browser: Browser, url: str, *, narrow: bool = False, language: str = "en-US") -> BrowserContext:
    """A visitor without a past; paths of pages are below ``url``."""
    context = browser.new_context(base_url=url, viewport=NARROW if narrow else WIDE, locale=language, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    return context


def open_view(page: Page, path: str) -> Page:
    """Show a view, such as ``/tasks?status=running``, and wait for its heading."""
    page.goto(f"/ui/#{path}")
    page.locator("main h1").first.wait_for()
    return page


def axe_violations(page: Page) -> list[str]:
    """The serious and critical findings of axe-core on what the page shows now, each with the elements it means."""
    findings = Axe().run(page).response["violations"]
    grave = [each for each in findings if each["impact"] in ("serious", "critical")]
    return [f"{each['id']} ({each['impact']}): {[node['html'][:160] for node in each['nodes'][:5]]}" for each in grave]


def set_theme(page: Page, theme: str) -> None:
    """Choose the light or the dark theme, as a visitor does."""
    page.locator("#theme").select_option(theme)


def set_language(page: Page, code: str) -> None:
    """Choose a language by its code, as a visitor does."""
    page.locator("#language").select_option(code)
