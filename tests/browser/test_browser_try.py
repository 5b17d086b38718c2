"""Trying a model: pictures and recordings that are dropped or chosen, and what is told where there is no answer."""

import base64
import json

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.driving import NARROW, axe_violations, set_theme

RATE = 100_000
FRAMES = 5
FRAME_S = 0.01
RECIPE = {"pipeline": "native", "sample_rate": RATE, "nfft": 64, "overlap": 0.5, "frame_duration_s": FRAME_S}
PICTURES, RECORDINGS = "browser_tried_pictures", "browser_tried_recordings"


def tone(part_of_band):
    """A tone in noise, as long as ``FRAMES`` frames."""
    rng = np.random.default_rng(2)
    count = round(RATE * FRAME_S * FRAMES)
    noise = rng.normal(size=(count, 2)).view(complex)[:, 0]
    return (noise + 10 * np.exp(2j * np.pi * part_of_band * np.arange(count))).astype(np.complex64)


@pytest.fixture(scope="module")
def picture_model(http, trained):
    """A model that takes pictures only."""
    http.post("/api/v2/models", {"name": PICTURES, "task_id": trained["task_id"], "alias": "production"})
    return PICTURES


@pytest.fixture(scope="module")
def recording_model(http, service):
    """A model with a recipe for recordings, of two tones."""
    for name, part in (("high", 0.3), ("low", -0.3)):
        folder = service.data_root / "browser_tones" / name
        folder.mkdir(parents=True)
        tone(part).tofile(folder / "1.cf32")
    wish = {
        "train_path": "browser_tones",
        "val_path": "browser_tones",
        "save_path": "browser_tones_out",
        "sample_rate": RATE,
        "recipe": RECIPE,
    }
    task = http.train("tones", num_epochs=2, batch_size=2, **wish)
    task = http.wait(task["task_id"], "completed")
    http.post("/api/v2/models", {"name": RECORDINGS, "task_id": task["task_id"], "alias": "production"})
    return RECORDINGS


@pytest.fixture
def picture(http):
    return http.data / "valid/red/0.png"


def card(page, name):
    return page.get_by_role("article", name=name)


def test_a_dropped_picture_is_shown_with_its_class_and_how_sure_it_is(open_page, picture_model, picture):
    page = open_page(f"/try?model={picture_model}@production")
    expect(page.get_by_label("Which model")).to_have_value(f"{picture_model}@production")
    content = base64.b64encode(picture.read_bytes()).decode()
    dropped = page.evaluate_handle(
        """(content) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], "red one.png", { type: "image/png" }));
            return transfer;
        }""",
        content,
    )
    zone = page.get_by_role("region", name="Drop files here")
    zone.dispatch_event("dragover", {"dataTransfer": dropped})
    expect(zone).to_have_attribute("data-over", "")
    zone.dispatch_event("drop", {"dataTransfer": dropped})
    answer = card(page, "red one.png")
    expect(answer.get_by_role("img", name="The picture red one.png")).to_be_visible()
    bars = answer.get_by_role("list", name="How sure it is").get_by_role("listitem")
    expect(bars).to_have_count(2)
    expect(answer.locator(".verdict")).to_contain_text("%")
    expect(answer.get_by_text(f"{picture_model} version 1 on")).to_be_visible()


def test_a_recording_shows_its_spectrogram_with_the_class_of_each_frame(open_page, recording_model, tmp_path):
    file = tmp_path / "flight_100ksps.cf32"
    tone(0.3).tofile(file)
    page = open_page(f"/try?model={recording_model}@production")
    page.get_by_label("Which model").wait_for()
    page.set_input_files("#try-files", file)
    answer = card(page, file.name)
    picture = answer.get_by_role("img", name="Spectrogram of flight_100ksps.cf32")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    expect(answer.locator(".strip .piece")).to_have_count(FRAMES)
    expect(answer.get_by_text(f"{FRAMES} frames over 0.05 s")).to_be_visible()
    ends = answer.locator(".strip .piece").last.evaluate("(piece) => parseFloat(piece.style.left) + parseFloat(piece.style.width)")
    assert ends == pytest.approx(100, abs=0.5)
    answer.get_by_text("Table of the frames").click()
    expect(answer.get_by_role("rowheader")).to_have_count(FRAMES)


def test_what_a_recording_does_not_tell_is_asked_for(open_page, recording_model, tmp_path):
    file = tmp_path / "unnamed.iq"
    tone(-0.3).tofile(file)
    page = open_page(f"/try?model={recording_model}@production")
    page.get_by_label("Which model").wait_for()
    page.set_input_files("#try-files", file)
    form = page.get_by_role("form", name="What your recordings do not tell")
    form.get_by_role("button", name="Predict").click()
    expect(form.get_by_text("Enter a number above 0, such as 20e6.")).to_be_visible()
    expect(form.get_by_label("Sample rate in Hz")).to_be_focused()
    form.get_by_label("Sample rate in Hz").fill("100e3")
    form.get_by_role("button", name="Predict").click()
    expect(card(page, "unnamed.iq").locator(".strip .piece")).to_have_count(FRAMES)
    expect(form).to_have_count(0)


def test_one_bad_file_of_several_is_told_and_the_others_are_answered(open_page, faults, picture_model, picture, tmp_path):
    faults.allow(r"status of 4\d\d .*/api/v2/predict")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is no picture")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    wave = tmp_path / "radio.wav"
    wave.write_bytes(b"RIFF")
    page = open_page(f"/try?model={picture_model}@production")
    page.get_by_label("Which model").wait_for()
    page.set_input_files("#try-files", [picture, broken, text, wave])
    expect(card(page, picture.name).locator(".verdict")).to_be_visible()
    expect(card(page, "broken.png").get_by_role("alert")).to_be_visible()
    expect(card(page, "notes.txt").get_by_role("alert")).to_contain_text("ends in nothing that tells a picture or a recording")
    expect(card(page, "radio.wav").get_by_role("alert")).to_contain_text("takes pictures only")


@pytest.mark.parametrize(("status", "text"), [(429, "Too much is asked at once (429)."), (504, "The answer took too long (504).")])
def test_a_busy_service_is_explained(open_page, page, faults, picture_model, picture, status, text):
    faults.allow(rf"status of {status} ")
    answer = {"status": "error", "code": "busy", "message": "busy", "detail": "busy", "timestamp": ""}
    page.route(
        "**/api/v2/predict*", lambda route: route.fulfill(status=status, content_type="application/json", body=json.dumps(answer))
    )
    open_page(f"/try?model={picture_model}@production")
    page.get_by_label("Which model").wait_for()
    page.set_input_files("#try-files", picture)
    expect(card(page, picture.name).get_by_role("alert")).to_contain_text(text)


def test_unknown_is_shown_as_such(open_page, http, trained, picture):
    http.post(
        "/api/v2/models", {"name": "browser_unsure", "task_id": trained["task_id"], "alias": "production", "unknown_below": 1.0}
    )
    page = open_page("/try?model=browser_unsure@production")
    page.get_by_label("Which model").wait_for()
    page.set_input_files("#try-files", picture)
    expect(card(page, picture.name).locator(".verdict")).to_have_text("? unknown")
    expect(card(page, picture.name).get_by_text("less sure than 100%")).to_be_visible()


def test_trying_has_no_serious_findings_of_axe_and_fits_narrow_screens(open_page, recording_model, picture, tmp_path):
    file = tmp_path / "axe_100ksps.cf32"
    tone(0.3).tofile(file)
    page = open_page(f"/try?model={recording_model}@production")
    page.get_by_label("Which model").wait_for()
    page.set_input_files("#try-files", [picture, file])
    card(page, file.name).locator(".strip").wait_for()
    card(page, picture.name).locator(".verdict").wait_for()
    card(page, file.name).get_by_text("Table of the frames").click()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        assert axe_violations(page) == []
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
