"""One task: a training from its beginning to its finished curves, its log, its files, and what can be done with its model."""

import pytest
from playwright.sync_api import expect

from tests.browser.driving import axe_violations, open_view, set_theme


def test_a_training_is_followed_to_its_finished_curves(open_page, http):
    task = http.train("followed", num_epochs=2, save_path=str(http.data.parent / "browser_models"))
    page = open_page(f"/tasks/{task['task_id']}")
    expect(page.locator("main .badge").filter(has_text="completed").first).to_be_visible(timeout=120_000)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.get_by_text("Of epoch 2, and the best of all")).to_be_visible()
    expect(page.get_by_role("region", name="Validation of epoch 2")).to_be_visible()
    page.get_by_role("region", name="Curves").get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Curves").get_by_role("row")).to_have_count(3)
    expect(page.get_by_text("complete", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Register…")).to_be_visible()


def test_the_log_is_shown_whole_and_narrowed_by_search_and_level(open_page, trained, http):
    count = len(http.log(trained["task_id"]))
    page = open_page(f"/tasks/{trained['task_id']}")
    expect(page.get_by_text(f"{count} of {count} lines")).to_be_visible()
    page.get_by_label("Search the log").fill("EPOCH 2/2 ENDED")
    expect(page.get_by_text(f"1 of {count} lines")).to_be_visible()
    expect(page.locator(".log-line mark")).to_have_text("Epoch 2/2 ended")
    page.get_by_label("Search the log").fill("")
    page.get_by_label("Level").select_option("ERROR")
    expect(page.get_by_text(f"0 of {count} lines")).to_be_visible()


def test_following_stops_when_the_reader_scrolls_up_and_goes_on_at_the_end(open_page, trained, http):
    count = len(http.log(trained["task_id"]))
    page = open_page(f"/tasks/{trained['task_id']}")
    page.set_viewport_size({"width": 1360, "height": 500})
    page.add_style_tag(content=".log { height: 6rem !important; }")
    expect(page.get_by_text(f"{count} of {count} lines")).to_be_visible()
    log = page.get_by_role("region", name="Lines of the log")
    follow = page.get_by_label("Follow")
    expect(follow).to_be_checked()
    log.evaluate("each => each.scrollTo(0, 0)")
    expect(follow).not_to_be_checked()
    log.evaluate("each => each.scrollTo(0, each.scrollHeight)")
    expect(follow).to_be_checked()


def test_the_history_is_shown_where_the_leases_cannot_be_read(page, trained, faults):
    faults.allow("503")
    away = {"status": "error", "code": "not_ready", "message": "the supervisor does not answer"}
    page.route("**/leases", lambda route: route.fulfill(status=503, json=away))
    open_view(page, f"/tasks/{trained['task_id']}")
    history = page.get_by_role("region", name="History")
    expect(history.get_by_text("Attempts and the devices they got: this could not be read now")).to_be_visible()
    expect(history.get_by_role("listitem").filter(has_text="completed")).to_be_visible()
    page.unroute("**/leases")
    history.get_by_role("button", name="Try again").click()
    expect(history.get_by_text("this could not be read now")).to_have_count(0)


def test_a_file_is_downloaded(open_page, trained):
    page = open_page(f"/tasks/{trained['task_id']}")
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download metrics.csv").click()
    assert begun.value.suggested_filename == "metrics.csv"
    assert begun.value.path().read_text().count("\n") == 3


def test_a_trained_model_is_registered_from_its_task(open_page, trained, http):
    page = open_page(f"/tasks/{trained['task_id']}")
    page.get_by_role("button", name="Register…").click()
    page.get_by_label("Name of the model").fill("from-the-page")
    page.get_by_role("dialog").get_by_role("button", name="Register").click()
    expect(page.get_by_text("from-the-page has version 1 now.")).to_be_visible()
    assert http.client.delete("/api/v2/models/from-the-page").status_code == 200


def test_a_failed_task_says_what_went_wrong_and_what_helps(open_page, http):
    broken = http.data.parent / "browser_broken"
    for name in ("blue", "red"):
        (broken / name).mkdir(parents=True, exist_ok=True)
        (broken / name / "broken.png").write_bytes(b"no picture")
    task = http.train("fails", train_path=str(broken))
    ended = http.wait(task["task_id"], "failed")
    page = open_page(f"/tasks/{task['task_id']}")
    alert = page.get_by_role("alert")
    expect(alert.get_by_text(ended["error"]["message"])).to_be_visible()
    expect(alert.get_by_text(ended["error"]["code"])).to_be_visible()


def test_predictions_are_listed_by_picture_and_by_file(open_page, trained, http):
    task = http.infer("predicted", http.data.parent / "browser_models" / "browser_trained")
    http.wait(task["task_id"], "completed")
    page = open_page(f"/tasks/{task['task_id']}")
    table = page.get_by_role("region", name="Predictions").get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(1 + 8)
    page.get_by_label("Show").select_option("file")
    expect(table.get_by_role("columnheader", name="Frames")).to_be_visible()
    expect(table.get_by_role("row")).to_have_count(1 + 8)


def test_a_task_that_is_deleted_while_it_is_looked_at_says_so(open_page, waiting_line, http, faults):
    faults.allow("404")  # the page asks the service before it believes so
    task_id = waiting_line("soon deleted")
    page = open_page(f"/tasks/{task_id}")
    expect(page.get_by_role("region", name="It waits").get_by_text("training leases on cpu:0").first).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This task was deleted.")).to_be_visible()


def test_a_result_file_that_is_missing_takes_no_other_section_away(page, trained, faults):
    faults.allow("404")
    missing = {"status": "error", "code": "output_not_found", "message": "confusion_matrix.json is not there any more"}
    page.route("**/confusion_matrix", lambda route: route.fulfill(status=404, json=missing))
    open_view(page, f"/tasks/{trained['task_id']}")
    expect(page.get_by_text("Results: this could not be read now: confusion_matrix.json is not there any more")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.get_by_role("button", name="Download metrics.csv")).to_be_visible()
    page.unroute("**/confusion_matrix")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Validation of epoch 2")).to_be_visible()
    expect(page.get_by_text("this could not be read now")).to_have_count(0)


def test_each_attempt_is_told_with_its_device_and_its_end(open_page, trained):
    table = open_page(f"/tasks/{trained['task_id']}").get_by_role("region", name="Attempts and the devices they got")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(table.get_by_role("row").last).to_contain_text("cpu:0")
    expect(table.get_by_role("row").last).to_contain_text("0.12 ·")
    expect(table.get_by_role("row").last).to_contain_text("completed")


def test_an_unknown_task_says_so(page, faults):
    faults.allow("404")
    page.goto("/ui/#/tasks/nowhere")
    expect(page.get_by_text("There is no task nowhere.")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_finished_training_has_no_serious_findings_of_axe(open_page, trained, theme):
    page = open_page(f"/tasks/{trained['task_id']}")
    set_theme(page, theme)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    assert axe_violations(page) == []
