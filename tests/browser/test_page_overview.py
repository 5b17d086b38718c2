"""The overview: devices, the line and the parts of the service, as the service tells of them."""

import pytest
from playwright.sync_api import expect

from tests.browser.driving import axe_violations, set_theme


def test_every_device_is_shown_and_simulated_ones_say_so(open_page):
    page = open_page("/overview")
    for device, is_simulated in (("cuda:0", True), ("cuda:1", True), ("cpu:0", False)):
        card = page.locator(".device", has=page.get_by_role("heading", name=device, exact=True))
        expect(card).to_have_count(1)
        expect(card.get_by_text("simulated", exact=True)).to_have_count(int(is_simulated))


def test_bars_of_devices_say_their_parts_to_screen_readers(open_page):
    page = open_page("/overview")
    expect(page.get_by_role("img", name="Compute of cuda:0")).to_have_attribute(
        "aria-label", "Compute of cuda:0: serving 25%, free 75%"
    )


def test_every_part_of_the_service_is_told_with_its_state(open_page):
    page = open_page("/overview")
    for part in ("accountant", "supervisor", "log hub", "predictor", "store"):
        row = page.get_by_role("row").filter(has_text=part).first
        expect(row.get_by_text("healthy", exact=True)).to_be_visible()


def test_the_line_says_who_waits_and_why_and_empties_by_itself(open_page, waiting_line, http):
    page = open_page("/overview")
    task_id = waiting_line("line of the overview")
    line = page.get_by_role("region", name="The line")
    expect(line.get_by_role("link", name="line of the overview")).to_be_visible()
    expect(line.get_by_text("#1", exact=True)).to_be_visible()
    expect(line.get_by_text("training leases on cpu:0")).to_be_visible()
    http.post(f"/api/v2/tasks/{task_id}/cancel")
    expect(line.get_by_role("link", name="line of the overview")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_overview_with_a_line_has_no_serious_findings_of_axe(open_page, waiting_line, theme):
    waiting_line("line for axe")
    page = open_page("/overview")
    set_theme(page, theme)
    page.get_by_role("link", name="line for axe").wait_for()
    assert axe_violations(page) == []
