"""The list of tasks: what it finds, what it shows live, and what can be done to one or several."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.driving import axe_violations, set_theme


def row_of(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def choose_action(page, name, action):
    row_of(page, name).get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("menuitem", name=action, exact=True).click()


def test_a_search_narrows_the_list_and_stays_in_the_address(open_page, waiting_line):
    waiting_line("needle")
    waiting_line("straw")
    page = open_page("/tasks")
    page.get_by_label("Search").fill("NEEDLE")
    expect(row_of(page, "needle")).to_be_visible()
    expect(row_of(page, "straw")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Search")).to_have_value("NEEDLE")
    expect(row_of(page, "needle")).to_be_visible()
    expect(row_of(page, "straw")).to_have_count(0)


def test_filters_of_the_address_hold_from_the_beginning(open_page, waiting_line, trained):
    waiting_line("still waiting")
    page = open_page("/tasks?status=completed&type=training")
    expect(row_of(page, "browser_trained").first).to_be_visible()
    expect(row_of(page, "still waiting")).to_have_count(0)
    expect(page.get_by_label("Status")).to_have_value("completed")


def test_a_new_task_appears_and_changes_without_a_reload(open_page, waiting_line, http):
    page = open_page("/tasks")
    task_id = waiting_line("comes later")
    expect(row_of(page, "comes later").get_by_text("queued")).to_be_visible()
    http.post(f"/api/v2/tasks/{task_id}/cancel")
    expect(row_of(page, "comes later").get_by_text("cancelled")).to_be_visible()


def test_a_waiting_task_says_why(open_page, waiting_line):
    waiting_line("asked why")
    page = open_page("/tasks")
    page.get_by_role("button", name="Why asked why waits").click()
    dialog = page.get_by_role("dialog", name="Why “asked why” waits")
    expect(dialog.get_by_text("training leases on cpu:0").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_priority_of_a_waiting_task_can_be_changed(open_page, waiting_line, http):
    task_id = waiting_line("more urgent")
    page = open_page("/tasks")
    choose_action(page, "more urgent", "Priority…")
    page.get_by_label("Priority (1 to 10)").fill("2")
    page.get_by_role("button", name="Apply").click()
    expect(row_of(page, "more urgent").locator(".c-priority")).to_have_text("2")
    assert http.task(task_id)["priority"] == 2


def test_several_tasks_are_cancelled_then_deleted_at_once(open_page, waiting_line, http):
    names = ["first of two", "second of two"]
    ids = [waiting_line(name) for name in names]
    page = open_page("/tasks?q=of two")
    for name in names:
        page.get_by_label(f"Select {name}").check()
    chosen = page.get_by_role("region", name="Actions for the selected tasks")
    chosen.get_by_role("button", name="Cancel", exact=True).click()
    for name in names:
        expect(row_of(page, name).get_by_text("cancelled")).to_be_visible()
    chosen.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete 2 tasks?").get_by_role("button", name="Delete").click()
    for name in names:
        expect(row_of(page, name)).to_have_count(0)
    assert not {*ids} & {task["task_id"] for task in http.client.get("/api/v2/tasks?limit=1000").json()["training_tasks"]}


def test_the_menu_of_actions_works_by_keyboard_and_gives_the_focus_back(open_page, waiting_line):
    waiting_line("by keyboard")
    page = open_page("/tasks")
    button = page.get_by_role("button", name="Actions for by keyboard")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Why does it wait?")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Priority…")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_the_focus_stays_where_it_is_when_rows_come_and_go(open_page, waiting_line, http):
    waiting_line("holds the focus")
    above = waiting_line("above it")
    page = open_page("/tasks")
    link = page.get_by_role("link", name="holds the focus")
    link.focus()
    waiting_line("comes on top")
    expect(row_of(page, "comes on top")).to_be_visible()
    http.post(f"/api/v2/tasks/{above}/cancel")
    assert http.client.delete(f"/api/v2/tasks/{above}").status_code == 200
    expect(row_of(page, "above it")).to_have_count(0)
    expect(link).to_be_focused()


def test_a_batch_is_one_row_that_unfolds(open_page, trained, http):
    weights = http.data.parent / "browser_models" / "browser_trained"
    body = {
        "cfg_path": str(weights / "config.yaml"),
        "weight_path": str(weights / "best_model.pth"),
        "source_paths": [str(http.data / "valid" / "red"), str(http.data / "valid" / "blue")],
        "device": "cpu",
    }
    batch = http.post("/api/v2/inference/batch", body)
    page = open_page(f"/tasks?q={batch['batch_id']}")
    row = page.get_by_role("row").filter(has_text="Batch of 2")
    expect(row.get_by_text("2 completed")).to_be_visible()
    toggle = row.get_by_role("button", name=re.compile("Show the tasks of the batch"))
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    for task_id in batch["task_ids"]:
        expect(page.locator(f'a[href="#/tasks/{task_id}"]')).to_be_visible()


def test_tasks_are_of_one_batch_by_its_id_and_never_by_their_folders(open_page, trained, http):
    model = http.data.parent / "browser_models" / "browser_trained"
    singles = [http.infer(f"alone {place}", model, save_path=str(http.data.parent / "runs" / str(place))) for place in (1, 2)]
    body = {
        "cfg_path": str(model / "config.yaml"),
        "weight_path": str(model / "best_model.pth"),
        "source_paths": [str(http.data / "valid" / "red"), str(http.data / "valid" / "blue")],
        "device": "cpu",
    }
    batch = http.post("/api/v2/inference/batch", body)
    page = open_page("/tasks?q=alone")
    for single in singles:
        expect(page.locator(f'a[href="#/tasks/{single["task_id"]}"]')).to_be_visible()
    page = open_page(f"/tasks?batch={batch['batch_id']}")
    for task_id in batch["task_ids"]:
        expect(page.locator(f'a[href="#/tasks/{task_id}"]')).to_be_visible()
    expect(row_of(page, "alone 1")).to_have_count(0)
    page.get_by_role("button", name="Show others too").click()
    expect(row_of(page, "alone 1")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_with_rows_and_a_selection_has_no_serious_findings_of_axe(open_page, waiting_line, theme):
    waiting_line("row for axe")
    page = open_page("/tasks")
    set_theme(page, theme)
    page.get_by_label("Select row for axe").first.check()
    assert axe_violations(page) == []
