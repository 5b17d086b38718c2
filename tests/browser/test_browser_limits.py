"""The limits: edited, their effect shown before, saved; and what is told where they cannot be."""

import json

from playwright.sync_api import expect

from tests.browser.driving import axe_violations, set_language, set_theme

CPU_INFERENCE = "inference on cpu:0"


def limit_of(http, device, kind):
    devices = {each["device"]: each for each in http.client.get("/api/v2/resources").json()["devices"]}
    return devices[device]["limits"][kind]


def test_a_limit_is_edited_with_a_preview_and_saved(open_page, http):
    before = limit_of(http, "cpu:0", "inference")
    page = open_page("/limits")
    preview = page.get_by_role("status", name="What would change")
    expect(preview).to_contain_text("Nothing is changed yet")
    page.get_by_label(CPU_INFERENCE).fill(str(before + 2))
    expect(preview).to_contain_text(f"inference on cpu:0: {before} → {before + 2} at once.")
    expect(preview).to_contain_text("2 more may run.")
    assert limit_of(http, "cpu:0", "inference") == before
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"Saved: inference on cpu:0 {before + 2}.")).to_be_visible()
    assert limit_of(http, "cpu:0", "inference") == before + 2
    page.get_by_label(CPU_INFERENCE).fill(str(before))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"Saved: inference on cpu:0 {before}.")).to_be_visible()


def test_numbers_outside_the_bounds_are_told_and_not_sent(open_page):
    page = open_page("/limits")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/config") else None)
    for wrong in ("65", "", "-1"):
        page.get_by_label(CPU_INFERENCE).fill(wrong)
        expect(page.get_by_label(CPU_INFERENCE)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_text("inference on cpu:0: enter a whole number from 0 to 64.")).to_be_visible()
        page.get_by_role("button", name="Save").click()
    assert sent == []
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label(CPU_INFERENCE)).not_to_have_attribute("aria-invalid", "true")


def test_what_is_edited_while_it_is_saved_is_neither_saved_nor_lost(open_page, page, http):
    before = limit_of(http, "cpu:0", "inference")
    held = []

    def hold(route):
        """Keep the request until the test lets it go on."""
        held.append(route)

    page.route("**/api/v2/resources/config", hold)
    open_page("/limits")
    page.get_by_label(CPU_INFERENCE).fill(str(before + 1))
    with page.expect_request("**/api/v2/resources/config"):
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Being saved…")).to_be_visible()
    page.get_by_label(CPU_INFERENCE).fill(str(before + 2))
    held[0].continue_()
    expect(page.get_by_text(f"Saved: inference on cpu:0 {before + 1}.")).to_be_visible()
    expect(page.get_by_label(CPU_INFERENCE)).to_have_value(str(before + 2))
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    http.limit("cpu:0", inference=before)
    expect(page.get_by_text("The limits were changed elsewhere meanwhile")).to_be_visible()
    expect(page.get_by_label(CPU_INFERENCE)).to_have_value(str(before + 2))


def test_a_device_that_goes_takes_its_wrong_entry_along(open_page):
    page = open_page("/limits")
    page.get_by_label("training on cuda:1").fill("65")
    expect(page.get_by_text("training on cuda:1: enter a whole number from 0 to 64.")).to_be_visible()
    page.evaluate(
        """async () => {
            const state = await import("/ui/js/state.js");
            state.takeResources({ ...state.resources, devices: state.resources.devices.filter((each) => each.device !== "cuda:1") });
        }"""
    )
    expect(page.get_by_label("training on cuda:1")).to_have_count(0)
    expect(page.get_by_role("status", name="What would change")).to_contain_text("Nothing is changed yet")


def test_a_change_of_language_keeps_what_was_entered(open_page):
    page = open_page("/limits")
    page.get_by_label(CPU_INFERENCE).fill("65")
    set_language(page, "zh")
    expect(page.get_by_label("cpu:0 上的推理")).to_have_value("65")
    expect(page.get_by_label("cpu:0 上的推理")).to_have_attribute("aria-invalid", "true")


def test_one_number_is_put_into_all_gpus(open_page):
    page = open_page("/limits")
    page.get_by_label("training on All GPUs").fill("4")
    page.get_by_role("button", name="Put into all").first.click()
    for device in ("cuda:0", "cuda:1"):
        expect(page.get_by_label(f"training on {device}")).to_have_value("4")
    expect(page.get_by_text("Together on 2 devices: at most 2 → 8 training tasks.")).to_be_visible()


def test_a_key_without_the_right_is_told_which_role_it_takes(open_page, page, faults):
    faults.allow(r"status of 403 .*/config")
    answer = {"status": "error", "code": "role_too_low", "message": "this takes the role admin", "detail": "", "timestamp": ""}
    page.route(
        "**/api/v2/resources/config",
        lambda route: route.fulfill(status=403, content_type="application/json", body=json.dumps(answer)),
    )
    open_page("/limits")
    page.get_by_label(CPU_INFERENCE).fill("1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your key may look, but not change limits: that needs the role admin.")).to_be_visible()


def test_a_waiting_task_that_would_find_a_place_is_named(open_page):
    page = open_page("/limits")
    found = page.evaluate(
        """async () => {
            const { whoWouldStart, partsOf } = await import("/ui/js/parts/limit_effects.js");
            const counts = { usage: { training: 1, inference: 0 }, limits: { training: 1, inference: 3 } };
            const device = { device: "cuda:0", kind: "cuda", present: true, quarantine: null, free: 0.6, ...counts };
            const waits = (id, missing) => ({ task: { task_id: id }, work: "training", why: { missing, devices: ["cuda:0"] } });
            const line = [waits("memory", "memory"), waits("first", "limit"), waits("second", "limit")];
            const asked = (limit) => whoWouldStart(line, [device], new Map([["cuda:0 training", limit]]));
            const started = (limit) => asked(limit).filter((each) => each.device).map((each) => each.task.task_id);
            return { one: started(1), two: started(2), three: started(3), part: partsOf(device, { training: 9, inference: 3 }).training };
        }"""
    )
    assert (found["one"], found["two"], found["three"]) == ([], ["first"], ["first", "second"])
    assert abs(found["part"] - 0.15 * 0.6 / (8 * 0.15 + 3 * 0.03)) < 1e-9


def test_limits_have_no_serious_findings_of_axe(open_page):
    page = open_page("/limits")
    page.locator("main[data-ready]").wait_for()
    page.get_by_label(CPU_INFERENCE).fill("9")
    for theme in ("light", "dark"):
        set_theme(page, theme)
        assert axe_violations(page) == []
