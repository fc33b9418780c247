"""MLflow's pages on a real study, as a browser shows them: a real server, a headless Chromium.

Needs Chromium with its driver (Debian: chromium, chromium-driver) and selenium; skipped with a word where one is
missing. AUTOREG_SCREENSHOTS names a folder that gets a picture of every page: docs/figures/mlflow for those of the documents.
"""

import io
import json
import os
import shutil
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from autoreg.__main__ import main
from autoreg.tracking import quiet_client
from autoreg.viewer import HOST, pages, serving

pytestmark = pytest.mark.slow

STUDY = """
name = "tumours"
[data]
source = "sklearn:load_breast_cancer"
target = "target"
[split]
folds = 3
[search]
metric = "roc_auc"
backends = ["sklearn", "xgboost"]
trials = 8
block = 4
[search.xgboost]
patience = 20
"""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
    "--window-size=2200,1200",
)  # fmt: skip
KEPT = Path(place).absolute() if (place := os.environ.get("AUTOREG_SCREENSHOTS")) else None
PATIENCE = 90.0
MARGIN = 24
"""Pixels kept around what a picture shows."""


class Page:
    """A browser on one server; what is waited for and never comes fails the test with what was there instead."""

    def __init__(self, driver, base, shots):
        self.driver, self.base, self.shots = driver, base, shots

    def open(self, path, *words, width=2200, height=1200):
        """Load a page and wait until it shows these words."""
        self.driver.get("about:blank")  # a new load: another fragment alone would keep the page's state
        self.driver.set_window_size(width, height)
        self.driver.get(path if path.startswith("http") else f"{self.base}/#{path}")
        text = self.wait(*words)
        self.press("Close")  # the assistant's panel
        return text

    @property
    def text(self):
        return self.driver.execute_script("return document.body ? document.body.innerText : ''")

    def wait(self, *words):
        return self.until(
            lambda: all(word in self.text for word in words) and self.text, f"{words} on the page"
        )

    def until(self, found, what):
        """What ``found`` gives once it is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if value := self._now(found):
                return value
            time.sleep(0.3)
        self.shot("missing")
        pytest.fail(f"not seen in {PATIENCE:g} s: {what}; there is: {self.text[:1500]}")

    def _now(self, found):
        from selenium.common.exceptions import StaleElementReferenceException

        try:
            return found()
        except StaleElementReferenceException:  # drawn anew in the meantime
            return None

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def press(self, label):
        """Press every button of that label."""
        self.driver.execute_script(
            'for (const b of document.querySelectorAll(`button[aria-label="${arguments[0]}"]`)) b.click()',
            label,
        )

    def column(self, name):
        """Cells of a column of the list of runs, from the top."""
        cells = self.driver.execute_script(
            "return [...document.querySelectorAll('.ag-row')].map(r => [Number(r.getAttribute('row-index')),"
            " [...r.querySelectorAll('.ag-cell')].filter(c => c.getAttribute('col-id') === arguments[0])"
            " .map(c => c.innerText)[0]]).filter(p => p[1] !== undefined)",
            name,
        )
        return [text.splitlines()[-1].strip() for _, text in sorted(cells) if text.strip()]

    def losses(self):
        return [float(text) for text in self.column("metrics.`loss`") if text != "-"]

    def shot(self, name, upto=""):
        """Keep a picture, small enough to be shown in a document; without what lies beyond the elements ``upto``."""
        from PIL import Image

        time.sleep(1.0)  # what fades in is there then
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        if upto:
            boxes = [element.rect for element in self.all(upto)]
            right = max(box["x"] + box["width"] for box in boxes) + MARGIN
            bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
            picture = picture.crop((0, 0, min(right, picture.width), min(bottom, picture.height)))
        picture.quantize(128).save(self.shots / f"{name}.png", optimize=True)


@pytest.fixture(scope="module")
def study(migrated_store, tmp_path_factory):
    """A finished study in a store of its own: the store's address, the parent's run, and a run of each backend."""
    place = tmp_path_factory.mktemp("browser")
    shutil.copy(migrated_store, place / "mlflow.db")
    (place / "tumours.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        assert main(["tune", "tumours.toml", "--quiet", "--json", "result.json"]) == 0
        result = json.loads((place / "result.json").read_text())
        runs = quiet_client().search_runs([result["experiment_id"]], "tags.`autoreg.state` = 'complete'")
        yield {
            "store": f"sqlite:///{place}/mlflow.db",
            "result": result,
            "runs": {run.data.tags["autoreg.backend"]: run for run in runs},
        }


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed: pip install selenium"
    )
    if not CHROMIUM or not DRIVER:
        pytest.skip("no Chromium with its driver here (Debian: apt-get install chromium chromium-driver)")
    from selenium.webdriver.chrome.service import Service

    shots = KEPT or tmp_path_factory.mktemp("screenshots")
    shots.mkdir(parents=True, exist_ok=True)
    options = webdriver.ChromeOptions()
    for each in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(each)
    options.binary_location = CHROMIUM
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with serving(study["store"], port):
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield Page(driver, f"http://{HOST}:{port}", shots)
        finally:
            driver.quit()


def runs_of(study, more=""):
    return f"/experiments/{study['result']['experiment_id']}/runs?workflowType=machine_learning{more}"


def test_the_printed_link_lists_the_trials_by_loss_with_autoreg_s_columns(page, study, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", study["store"])
    links = dict(pages(page.base))
    page.open(links["study tumours"], "xgboost #4 l2", "sklearn #0 l2", width=2800)
    names = page.column("attributes.`Run Name`")
    assert {"tumours", "sklearn #0 l2", "xgboost #4 l2"} <= set(names)
    assert len(names) == 9
    metrics = {
        f"metrics.`{name}`"
        for name in ("loss", "cv_roc_auc", "train_roc_auc", "gap_roc_auc", "holdout_roc_auc")
    }
    params = {f"params.`{name}`" for name in ("penalty", "alpha", "l1_ratio", "dropout", "patience")}
    heads = ".ag-header-cell"
    page.until(
        lambda: metrics | params <= {h.get_attribute("col-id") for h in page.all(heads)}, "the columns"
    )
    losses = page.losses()
    assert len(losses) == 9
    assert losses == sorted(losses)
    page.press("Hide banner")
    page.shot("runs", upto=".ag-header-cell, .ag-row .ag-cell")
    head = next(
        cell for cell in page.all(".ag-header-cell") if cell.get_attribute("col-id") == "metrics.`loss`"
    )
    head.find_element("xpath", ".//*[normalize-space(text())='loss']").click()
    page.until(lambda: page.losses() == losses[::-1], "the runs by falling loss")


def test_trials_lie_under_their_study(page, study):
    page.open(runs_of(study, "&orderByKey=attributes.start_time&orderByAsc=false"), "tumours")
    page.until(
        lambda: page.column("attributes.`Run Name`") == ["tumours"], "the study alone, its trials folded up"
    )
    page.until(lambda: page.all(".ag-row button"), "what unfolds it")[0].click()
    names = page.until(
        lambda: len(found := page.column("attributes.`Run Name`")) == 9 and found, "the trials below it"
    )
    assert names[0] == "tumours"
    assert sorted(name.split(" ")[1] for name in names[1:]) == [f"#{n}" for n in range(8)]
    page.shot("nested", upto=".ag-header-cell, .ag-row .ag-cell")


def test_two_backends_are_compared_on_the_same_names(page, study):
    ids = [study["runs"][backend].info.run_id for backend in ("sklearn", "xgboost")]
    experiment = json.dumps([study["result"]["experiment_id"]])
    text = page.open(
        f"/compare-runs?runs={quote(json.dumps(ids))}&experiments={quote(experiment)}",
        "l1_ratio",
        "sklearn.C",
        height=1800,
    )
    lines = text.splitlines()
    for name in ("penalty", "alpha", "l1_ratio", "dropout", "patience"):
        # One row of the table of parameters: the name, and a value of each run.
        values = [line.split("\t")[1:] for line in lines if line.split("\t")[0] == name and "\t" in line]
        assert values, name
        wanted = [study["runs"][backend].data.params[name] for backend in ("sklearn", "xgboost")]
        assert [cell.strip() for cell in values[0]] == wanted, name
    page.shot("compare")


def test_a_trial_has_curves_of_training_and_stopping(page, study):
    run = study["runs"]["xgboost"].info
    path = f"/experiments/{run.experiment_id}/runs/{run.run_id}/model-metrics?workflowType=machine_learning"
    page.open(path, "train_loss", "stop_loss", height=2600)
    drawn = "path.js-line, .scatterlayer .lines path"
    lines = page.until(lambda: len(found := page.all(drawn)) >= 2 and found, "two curves")
    assert all(
        line.get_attribute("d").count("L") + line.get_attribute("d").count("C") >= 5 for line in lines[:2]
    )
    page.shot("curves")


def test_the_report_opens_beside_the_artifacts(page, study):
    result = study["result"]
    path = f"/experiments/{result['experiment_id']}/runs/{result['run_id']}/artifacts/report.html?workflowType=machine_learning"
    page.open(path, "report.html", "record.json")
    frame = page.until(lambda: page.all("iframe"), "the report's frame")[0]
    page.driver.switch_to.frame(frame)
    try:
        for word in ("Study tumours", "Winner", "Finalists", "Provenance"):
            page.wait(word)
    finally:
        page.driver.switch_to.default_content()
    page.shot("report")


def test_the_study_s_run_shows_data_description_and_model(page, study):
    result = study["result"]
    path = f"/experiments/{result['experiment_id']}/runs/{result['run_id']}?workflowType=machine_learning"
    text = page.open(path, "Datasets", "ROC AUC on new rows", "Registered models", height=2600)
    after = text.partition("\nDatasets\n")[2]
    assert after.startswith("tumours (")
    assert "holdout_roc_auc" in text
    assert "Child runs" in text
    assert "tumours" in text.partition("\nRegistered models\n")[2]
    page.shot("study")


def test_the_registered_model_has_its_alias_and_its_card(page, study):
    text = page.open(
        "/models/tumours/versions/1?workflowType=machine_learning", "champion", "How to use it", height=2000
    )
    for words in (
        'mlflow.pyfunc.load_model("models:/tumours@champion")',
        "Expected performance",
        "How it was chosen",
    ):
        assert words in text
    page.shot("model")
