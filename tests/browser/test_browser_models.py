"""The registry in the page: registered, promoted, rolled back, compared, deleted."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.driving import axe_violations, set_theme

NAME = "browser_colours"


@pytest.fixture(scope="module")
def versions(http, trained):
    """A model of two versions, of which the first is production."""
    first = http.post("/api/v2/models", {"name": NAME, "task_id": trained["task_id"], "alias": "production"})
    second = http.post("/api/v2/models", {"name": NAME, "task_id": trained["task_id"]})
    return first["version"], second["version"]


def production_of(http, name=NAME):
    return http.client.get(f"/api/v2/models/{name}").json()["aliases"]["production"]


def card_of(page, name=NAME):
    return page.get_by_role("region", name=name, exact=True).first


def row_of(page, version, name=NAME):
    return card_of(page, name).get_by_role("row").filter(has=page.get_by_role("rowheader", name=str(version), exact=True))


def test_a_version_is_promoted_and_rolled_back_after_a_yes_each(open_page, http, versions):
    first, second = versions
    page = open_page("/models")
    row_of(page, second).get_by_role("button", name="Promote").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert production_of(http) == first
    row_of(page, second).get_by_role("button", name="Promote").click()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    expect(page.get_by_role("dialog").get_by_text(f"{NAME} now means version {second}.")).to_be_visible()
    assert production_of(http) == second
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(row_of(page, second).get_by_text("production")).to_be_visible()
    card_of(page).get_by_role("button", name="Roll back…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Becomes production")).to_have_value(str(first))
    dialog.get_by_role("button", name="Cancel").click()
    assert production_of(http) == second
    card_of(page).get_by_role("button", name="Roll back…").click()
    dialog.get_by_role("button", name=f"Make version {first} production").click()
    expect(dialog.get_by_text(f"{NAME} is rolled back: it means version {first}.")).to_be_visible()
    assert production_of(http) == first
    dialog.get_by_role("button", name="Close").click()
    expect(card_of(page).get_by_role("button", name="Roll back…")).to_have_count(0)


@pytest.mark.usefixtures("versions")
def test_what_others_promote_is_shown_without_a_reload(open_page, http, versions):
    first, second = versions
    page = open_page("/models")
    expect(row_of(page, first).get_by_text("production")).to_be_visible()
    http.client.put(f"/api/v2/models/{NAME}/aliases/staging", json={"version": second}).raise_for_status()
    expect(row_of(page, second).get_by_text("staging")).to_be_visible()
    http.client.delete(f"/api/v2/models/{NAME}/aliases/staging").raise_for_status()
    expect(row_of(page, second).get_by_text("staging")).to_have_count(0)


def test_rows_stay_the_same_elements_when_tasks_and_models_change(open_page, http, trained, versions, waiting_line):
    page = open_page("/models")
    run = page.locator(f'[data-run="{trained["task_id"]}"]')
    for row in (run, row_of(page, versions[0])):
        row.evaluate("(row) => { row.marked = true; }")
    run.get_by_role("checkbox").focus()
    other = waiting_line("another run")
    page.locator(f'[data-run="{other}"]').wait_for()
    http.client.put(f"/api/v2/models/{NAME}/aliases/other", json={"version": versions[1]}).raise_for_status()
    expect(row_of(page, versions[1]).get_by_text("other")).to_be_visible()
    http.client.delete(f"/api/v2/models/{NAME}/aliases/other").raise_for_status()
    expect(run.get_by_role("checkbox")).to_be_focused()
    assert [row.evaluate("(row) => row.marked === true") for row in (run, row_of(page, versions[0]))] == [True, True]


def test_the_address_of_a_comparison_names_all_and_names_are_text(open_page, trained, versions):
    name = "<b>loud</b> & <i>clear</i>"
    task_id = trained["task_id"]
    page = open_page("/models")
    for version in versions:
        page.get_by_label(f"Compare {NAME}@{version}").check()
    page.locator(f'[data-run="{task_id}"] input').check()
    first, second = versions
    address = f"#/models?model={NAME}%40{first}&model={NAME}%40{second}&task={task_id}"
    expect(page).to_have_url(re.compile(f"{re.escape(address)}$"))
    page.reload()
    expect(page.get_by_role("button", name="Compare 3")).to_be_visible()
    panel = page.get_by_role("region", name="Side by side")
    legend = panel.locator(".chart").first.locator(".legendtext")
    expect(legend.filter(has_text=f"{NAME}@{second}")).to_be_visible()
    drawn = page.evaluate(
        """async (name) => {
            const { clearChart, drawChart } = await import("/ui/js/charts.js");
            const chart = document.querySelector("main").appendChild(document.createElement("div"));
            await drawChart(chart, [{ name, x: [1, 2], y: [1, 2] }], { y: name, layout: { showlegend: true } });
            const texts = [".legendtext", ".ytitle"].map((each) => chart.querySelector(each).textContent);
            clearChart(chart);
            chart.remove();
            return texts;
        }""",
        name,
    )
    assert drawn == [name, name]


def test_a_finished_training_is_registered_given_an_alias_and_deleted(open_page, http, trained):
    page = open_page(f"/models?register={trained['task_id']}")
    dialog = page.get_by_role("dialog", name="Register a version")
    expect(dialog.get_by_label("Training (needed)")).to_have_value(trained["task_id"])
    dialog.get_by_label("Name of the model").fill("not a name")
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(dialog.get_by_text("“not a name” has not the form that is needed here.")).to_be_visible()
    dialog.get_by_label("Name of the model").fill("browser_registered")
    dialog.get_by_label("Alias").fill("")
    dialog.get_by_role("button", name="Register", exact=True).click()
    row = row_of(page, 1, "browser_registered")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Actions of browser_registered@1").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert http.client.get("/api/v2/models/browser_registered").status_code == 404


def test_versions_and_trainings_stand_side_by_side_with_curves_and_a_table(open_page, trained, versions):
    page = open_page("/models")
    page.get_by_label(f"Compare {NAME}@{versions[0]}").check()
    page.locator(f'[data-run="{trained["task_id"]}"] input').check()
    page.get_by_role("button", name="Compare 2").click()
    panel = page.get_by_role("region", name="Side by side")
    expect(panel.locator(".chart .main-svg").first).to_be_visible()
    table = panel.get_by_role("table").filter(has=page.locator("caption", has_text="Metrics"))
    expect(table.get_by_role("columnheader")).to_have_text(["Metrics", f"{NAME}@{versions[0]}", trained["name"]])
    panel.get_by_label("Curve", exact=True).select_option("train_loss")
    panel.get_by_text("Table of train_loss").click()
    expect(panel.get_by_role("rowheader", name="2", exact=True).first).to_be_visible()


@pytest.mark.usefixtures("versions")
def test_the_card_of_a_version_tells_its_classes_and_origin(open_page, trained, versions):
    page = open_page("/models")
    row_of(page, versions[0]).get_by_role("button", name=re.compile("^Actions of")).click()
    page.get_by_role("menuitem", name="Details").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("blue, red")).to_be_visible()
    expect(dialog.get_by_role("link", name=trained["task_id"])).to_be_visible()


@pytest.mark.usefixtures("versions")
def test_models_and_their_comparison_have_no_serious_findings_of_axe(open_page, trained, versions):
    page = open_page(f"/models?model={NAME}@{versions[0]}&task={trained['task_id']}")
    page.locator(".chart .main-svg").first.wait_for()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        assert axe_violations(page) == []
