"""The frame around the views: languages, themes, keyboard, navigation."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.driving import axe_violations, set_language, set_theme


def test_the_language_of_the_whole_page_changes_and_is_remembered(open_page):
    page = open_page("/overview")
    expect(page.locator("main h1")).to_have_text("Overview")
    set_language(page, "zh")
    expect(page.locator("main h1")).to_have_text("概览")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.reload()
    expect(page.locator("main h1")).to_have_text("概览")


def test_the_theme_changes_colours_and_is_remembered(open_page):
    page = open_page("/overview")
    grounds = set()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        grounds.add(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert len(grounds) == 2
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_an_unknown_view_says_so_and_leads_back(page):
    page.goto("/ui/#/nowhere")
    page.get_by_role("link", name="To the overview").click()
    expect(page.locator("main h1")).to_have_text("Overview")


def test_the_keyboard_alone_reaches_content_and_views(open_page):
    page = open_page("/overview")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#nav a").first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main h1")).to_have_text("Tasks")
    expect(page).to_have_url(re.compile("#/tasks"))
    expect(page.locator('#nav a[aria-current="page"]')).to_have_text("Tasks")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["/overview", "/tasks"])
def test_views_have_no_serious_findings_of_axe(open_page, view, theme):
    page = open_page(view)
    set_theme(page, theme)
    page.locator("main[data-ready]").wait_for()
    assert axe_violations(page) == []
