"""The forms for new tasks: filled in by hand and by the picker, checked by the contract's bounds, submitted once, told as code."""

import json
import re
import subprocess

import pytest
from playwright.sync_api import expect

from tests.browser.driving import NARROW, axe_violations, set_language, set_theme

FORMS = (
    "/new/training",
    "/new/inference",
    "/new/inference?kind=batch",
    "/new/inference?kind=evaluate",
    "/new/preprocessing",
    "/new/preprocessing?kind=augment",
    "/new/preprocessing?kind=crop",
    "/new/preprocessing?kind=spectrogram",
)
SCHEMAS = {
    "training": "TrainingRequest",
    "inference": "InferenceRequest",
    "batch": "BatchInferenceRequest",
    "evaluate": "EvaluationRequest",
    "split": "SplitRequest",
    "augment": "AugmentRequest",
    "crop": "CropRequest",
    "spectrogram": "SpectrogramRequest",
    "register": "RegisterRequest",
}
#: Data that the fixtures have written, as the address of a form names them.
PATHS = "train_path=browser_pictures/train&val_path=browser_pictures/valid"
#: Refused requests, which these tests provoke, are lines on Chromium's console.
REFUSED = r"status of 4(00|03|04|09|22) .*/api/v2/(tasks/explain|data|training/start)"


def field(page, label):
    return page.get_by_label(re.compile(rf"^{re.escape(label)}"))


def code(page, tab="As curl"):
    page.get_by_role("tab", name=tab).click()
    return page.locator("#as-code").inner_text()


def set_small(page):
    """What keeps a training short, in the fields of the form."""
    field(page, "Network").select_option("mobilenet_v3_small")
    field(page, "Epochs").fill("1")
    field(page, "Picture size").fill("32")
    field(page, "Learning rate").fill("1e-3")
    field(page, "Device").select_option("cpu")
    page.get_by_label("Start from ImageNet weights").uncheck()


def test_a_training_is_started_from_the_form_through_the_picker_to_its_finished_curves(open_page, http, faults):
    faults.allow(REFUSED)
    page = open_page("/new/training")
    page.get_by_role("button", name="Browse for Training data").click()
    picker = page.get_by_role("dialog", name="Choose inside the data roots")
    picker.get_by_role("button", name="browser_pictures").click()
    picker.get_by_role("button", name=re.compile("^.*train ")).click()
    expect(picker.get_by_text("You are in browser_pictures/train")).to_be_visible()
    picker.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_text("2 class folders: blue (12), red (12)")).to_be_visible()
    expect(field(page, "Number of classes")).to_have_value("2")
    expect(field(page, "Validation data")).to_have_value("browser_pictures/valid")
    set_small(page)
    field(page, "Results go to").fill("browser_form")
    expect(page.get_by_text("It would start now.")).to_be_visible()
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url(re.compile(r"#/tasks/[0-9a-f-]{36}$"))
    task = http.wait(page.url.rsplit("/", 1)[1], "completed")
    assert task["output_path"] == "browser_form"
    expect(page.locator("main").get_by_text("completed", exact=True).first).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    page.get_by_role("region", name="Curves").get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Curves").get_by_role("row")).to_have_count(2)


@pytest.mark.usefixtures("http")
def test_a_refusal_stays_when_the_form_is_looked_at_again(open_page, faults):
    faults.allow(REFUSED, r"status of 429 .*/training/start")
    page = open_page(f"/new/training?{PATHS}&save_path=browser_refused&num_classes=2")
    set_small(page)
    answer = {"status": "error", "code": "too_many", "message": "too many tasks wait", "detail": "", "timestamp": ""}
    body = json.dumps(answer)
    page.route("**/training/start", lambda route: route.fulfill(status=429, content_type="application/json", body=body))
    field(page, "Name").fill("refused")
    field(page, "Name").press("Enter")
    refusal = page.get_by_role("alert").filter(has_text="too many tasks wait")
    expect(refusal).to_be_visible()
    with page.expect_response("**/tasks/explain"):
        field(page, "Name").fill("refused again")
    expect(page.get_by_text("It would start now.")).to_be_visible()
    expect(refusal).to_be_visible()


@pytest.mark.usefixtures("http")
def test_a_change_of_language_keeps_what_was_entered_right_or_wrong(open_page, faults):
    faults.allow(REFUSED)
    page = open_page("/new/inference?kind=evaluate")
    page.get_by_label("Files of a model").check()
    field(page, "Weights file").fill("somewhere/best.pth")
    field(page, "Signal-to-noise ratios").fill("much")
    set_language(page, "zh")
    expect(page.get_by_role("heading", level=1)).to_have_text("推理")
    expect(field(page, "权重文件")).to_have_value("somewhere/best.pth")
    expect(page.locator("[name=snr_db]")).to_have_value("much")
    page.goto("/ui/#/new/inference?kind=single")
    page.goto("/ui/#/new/inference?kind=evaluate")
    expect(page.locator("[name=snr_db]")).to_have_value("")


@pytest.mark.usefixtures("http")
def test_a_path_that_is_missing_is_told_in_the_language_of_the_page(open_page, faults):
    faults.allow(REFUSED, r"status of 404 .*/api/v2/data")
    page = open_page("/new/training")
    set_language(page, "zh")
    field(page, "训练数据").fill("no/such/folder")
    expect(page.locator(".field", has=field(page, "训练数据")).locator(".holds")).to_have_text("那里没有任何内容")


def test_wrong_values_are_told_at_their_fields_before_anything_is_sent(open_page, faults):
    faults.allow(REFUSED)
    page = open_page("/new/training")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/training/start") else None)
    field(page, "Epochs").fill("0")
    field(page, "Learning rate").fill("much")
    page.get_by_role("button", name="Start the training").click()
    expect(field(page, "Training data")).to_be_focused()
    for label, fault in (
        ("Training data", "This is needed."),
        ("Epochs", "This is outside the bounds. From 1 to 1,000,000."),
        ("Learning rate", "“much” is not a number"),
    ):
        expect(field(page, label)).to_have_attribute("aria-invalid", "true")
        described = field(page, label).get_attribute("aria-describedby").split()[-1]
        expect(page.locator(f"#{described}")).to_contain_text(fault)
    assert sent == []


@pytest.mark.usefixtures("http")
def test_what_only_the_service_knows_is_told_at_the_field_too(open_page, faults):
    faults.allow(REFUSED)
    page = open_page(
        "/new/training?train_path=browser_pictures/train&val_path=browser_pictures/valid&save_path=browser_wrong&num_classes=1"
    )
    expect(field(page, "Number of classes")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".field", has=field(page, "Number of classes")).locator(".fault")).to_contain_text(
        "fewer than the 2 class folders"
    )
    field(page, "Number of classes").fill("2")
    expect(page.get_by_text("It would start now.")).to_be_visible()
    expect(field(page, "Number of classes")).not_to_have_attribute("aria-invalid", "true")


def test_sending_the_same_request_again_starts_one_task(open_page, http, faults):
    faults.allow(REFUSED, r"ERR_FAILED .*/training/start")
    paths = "train_path=browser_pictures/train&val_path=browser_pictures/valid&save_path=browser_twice&num_classes=2"
    page = open_page(f"/new/training?{paths}&name=sent%20twice")
    set_small(page)
    bodies = []

    def lose_the_answer(route):
        """Let the request through, and its answer get lost."""
        bodies.append(route.request.post_data_json)
        route.fetch()
        route.abort()

    page.route("**/api/v2/training/start", lose_the_answer, times=1)
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_text("Send it again: it cannot start twice.")).to_be_visible()
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url(re.compile(r"#/tasks/"))
    assert page.url.endswith(bodies[0]["task_id"])
    tasks = http.client.get("/api/v2/tasks?limit=1000").json()["training_tasks"]
    assert len([task for task in tasks if task["name"] == "sent twice"]) == 1
    http.wait(bodies[0]["task_id"])


def test_the_curl_command_does_what_the_form_would(open_page, http, service):
    values = "input_path=browser_pictures/train&output_path=browser%20split's&train_ratio=0.5&kind=split"
    page = open_page(f"/new/preprocessing?{values}")
    expect(field(page, "Part for training")).to_have_value("0.5")
    done = subprocess.run(["bash", "-c", code(page) + " --silent"], capture_output=True, text=True, timeout=60, check=True)
    task = http.wait(json.loads(done.stdout)["task_id"], "completed")
    assert task["status"] == "completed"
    assert (service.data_root / "browser split's/train/blue").is_dir()


def test_code_of_python_and_rfuav_says_the_same_request(open_page, faults):
    faults.allow(REFUSED)
    augmentation = json.dumps({"gain_db": [-3, 3]})
    recipe = json.dumps({"pipeline": "native", "picture_size": [640, 480]})
    page = open_page(
        f"/new/training?train_path=a&val_path=b&save_path=c%20d&num_classes=2&shuffle=false&recipe={recipe}&augmentation={augmentation}"
    )
    python = code(page, "As Python")
    asked = {}

    class Client:
        def __init__(self, url):
            asked["url"] = url

        def train(self, **fields):
            asked["fields"] = fields

    exec(python.replace("from cluster.client import Client\n", ""), {"Client": Client})  # noqa: S102 - the page's own code
    assert asked["fields"] == {
        "train_path": "a",
        "val_path": "b",
        "save_path": "c d",
        "num_classes": 2,
        "model": "resnet18",
        "shuffle": False,
        "recipe": {"pipeline": "native", "picture_size": [640, 480]},
        "augmentation": {"gain_db": [-3, 3]},
    }
    rfuav = code(page, "As rfuav").replace("\\\n ", "")
    for option in (
        "rfuav train",
        "--save-path 'c d'",
        "--no-shuffle",
        "--recipe-pipeline native",
        "--recipe-picture-size 640 480",
        "--augmentation-gain-db -3 3",
    ):
        assert option in rfuav


def test_a_finished_training_is_copied_into_the_form(open_page, trained):
    page = open_page(f"/new/training?from={trained['task_id']}")
    expect(field(page, "Network")).to_have_value("mobilenet_v3_small")
    expect(field(page, "Epochs")).to_have_value("2")
    expect(page.get_by_label("Start from ImageNet weights")).not_to_be_checked()
    assert "task_id" not in code(page)


def test_several_sources_go_as_one_batch(open_page, trained, http, faults):
    faults.allow(REFUSED)
    page = open_page("/new/inference?kind=batch&device=cpu")
    page.get_by_label("Files of a model").check()
    field(page, "Configuration file").fill(f"{trained['output_path']}/config.yaml")
    field(page, "Weights file").fill(f"{trained['output_path']}/best_model.pth")
    field(page, "Sources").fill("browser_pictures/valid/red\nbrowser_pictures/valid/blue")
    expect(page.get_by_text("It would start now.")).to_be_visible()
    page.get_by_role("button", name="Start the batch").click()
    page.wait_for_url(re.compile(r"#/tasks\?batch="))
    batch = http.client.get(f"/api/v2/batches/{page.url.rsplit('=', 1)[1]}").json()
    assert batch["total"] == 2
    for task_id in batch["task_ids"]:
        http.wait(task_id, "completed")


def test_every_field_of_every_request_has_words_of_its_own_in_both_languages(open_page):
    page = open_page("/new/training")
    missing = page.evaluate(
        """async (schemas) => {
            const { words } = await import("/ui/js/words/fields.js");
            const { fieldsOf } = await import("/ui/js/parts/contract.js");
            const missing = [];
            for (const [kind, schema] of Object.entries(schemas)) {
                const inside = (field) => (field.fields ? paths(field.fields, `${field.name}.`) : []);
                const paths = (fields, prefix = "") => fields.flatMap((field) => [prefix + field.name, ...inside(field)]);
                for (const path of paths(await fieldsOf(schema))) {
                    for (const language of ["en", "zh"]) {
                        const isThere = `${kind}:${path}` in words[language] || path in words[language];
                        if (!isThere) missing.push(`${language} ${kind} ${path}`);
                    }
                }
            }
            return missing;
        }""",
        SCHEMAS,
    )
    assert missing == []


def test_words_of_the_views_stand_in_both_languages(open_page):
    page = open_page("/new/training")
    different = page.evaluate(
        """async (files) => {
            const found = await Promise.all(files.map(async (name) => [name, (await import(`/ui/js/words/${name}.js`)).words]));
            const keys = (words) => Object.keys(words).sort().join();
            return found.filter(([, words]) => keys(words.en) !== keys(words.zh)).map(([name]) => name);
        }""",
        ["fields", "forms", "models", "try_it", "limits"],
    )
    assert different == []


@pytest.mark.parametrize("form", FORMS)
def test_forms_have_no_serious_findings_of_axe(open_page, form):
    page = open_page(form)
    page.locator("main[data-ready]").wait_for()
    page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    found = axe_violations(page)
    set_theme(page, "dark")
    set_language(page, "zh")
    page.locator("main[data-ready]").wait_for()
    assert found + axe_violations(page) == []


def test_forms_fit_narrow_screens(open_page):
    page = open_page("/new/training")
    page.set_viewport_size(NARROW)
    page.locator("main[data-ready]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
