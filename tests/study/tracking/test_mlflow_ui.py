"""A study in MLflow's own interface, driven in a real browser the way somebody browses it.

With SCREENSHOTS=FOLDER in the environment, the pictures of the README are written there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from study.results.model import Report
from study.results.writing import write_report
from study.tracking import Tracker
from tests.study import servers
from tests.study.results import example

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="no Chromium with chromedriver: install chromium-driver"
    ),
]

# What MLflow's own pages say on the console whatever they show: it asks who is logged in, and nobody can be.
KNOWN = ("users/current", "ResizeObserver loop")
SECONDS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server that shows the example study."""
    folder = tmp_path_factory.mktemp("ui")
    report, study = Report.from_json(example.digits_report()), folder / "studies" / "digits"
    study.mkdir(parents=True)
    write_report(report, study)
    with servers.mlflow_server(folder, port=servers.free_port()) as address:
        tracker = Tracker(address)
        result = tracker.project(report, folder=study, config_text="study: digits\n", last=True)
        assert result.problem is None
        assert tracker.page() == f"{address}/#/experiments/1?workflowType=machine_learning"
        yield address


class Browser:
    """What a person does: look for a text, click on it, read."""

    def __init__(self, driver: webdriver.Chrome, shots: Path | None) -> None:
        self.driver = driver
        self._shots = shots

    def open(self, address: str) -> None:
        self.driver.get(address)

    def find(self, xpath: str) -> WebElement:
        wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=[StaleElementReferenceException])
        return wait.until(
            lambda driver: next((e for e in driver.find_elements(By.XPATH, xpath) if e.is_displayed()), False)
        )

    def click(self, xpath: str) -> None:
        self.find(xpath)
        wait = WebDriverWait(self.driver, SECONDS)  # a table that is being drawn replaces its elements
        wait.until(lambda _: _clicked(self.find(xpath)))

    def reads(self, text: str) -> None:
        """Wait until the page shows `text`."""
        WebDriverWait(self.driver, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(
            lambda driver: text in driver.find_element(By.TAG_NAME, "body").text, message=f"{text!r} is not shown"
        )

    def shot(self, name: str) -> None:
        if self._shots:
            time.sleep(2)
            self.driver.save_screenshot(str(self._shots / f"{name}.png"))

    def errors(self) -> list[str]:
        """What the console says that is an error and not MLflow's own."""
        said = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in said if not any(known in message for known in KNOWN)]


def _clicked(element: WebElement) -> bool:
    try:
        element.click()
    except Exception:  # noqa: BLE001  replaced or covered for a moment
        return False
    return True


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1360,900",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Browser(driver, Path(os.environ["SCREENSHOTS"]) if "SCREENSHOTS" in os.environ else None)
    finally:
        driver.quit()


def test_a_study_can_be_browsed(server: str, browser: Browser) -> None:
    parent = "digits, left + right"
    browser.open(f"{server}/#/experiments/1?workflowType=machine_learning")  # as a study's last line says
    browser.click("//*[normalize-space(text())='MLflow Assistant']/following::button[@aria-label='Close']")
    browser.reads("Align left and right at λ")  # the experiment's note
    row = f"//a[normalize-space()='{parent}']/ancestor::div[@role='gridcell']"
    browser.click(f"{row}//button")
    browser.reads("λ = 0.25")
    browser.shot("mlflow-runs")

    for strength in ("0.1", "0.5"):  # the boxes to tick are in a table beside that of the names
        row = browser.find(f"//a[normalize-space()='λ = {strength}']/ancestor::div[@row-index]")
        box = (
            f"//div[@row-index='{row.get_attribute('row-index')}']//div[contains(@class, 'ag-checkbox-input-wrapper')]"
        )
        browser.click(box)
    browser.click("//button[normalize-space()='Compare']")
    browser.reads("Comparing 2 Runs")
    browser.reads("strength")
    browser.reads("accuracy_1")
    browser.shot("mlflow-compare")

    browser.open(f"{server}/#/experiments/1?workflowType=machine_learning")  # as a study's last line says
    browser.click(f"//a[normalize-space()='{parent}']")
    browser.reads("left gains 1.0 points")  # the verdict opens the note, then the table
    browser.reads("inverted-u")
    browser.reads("lambda_star")
    browser.shot("mlflow-note")
    browser.click("//*[@role='tab' and normalize-space()='Artifacts']")
    browser.click("//*[normalize-space(text())='report.html']")
    frame = browser.find("//iframe")
    browser.driver.switch_to.frame(frame)
    browser.reads("How strongly to align")
    browser.driver.switch_to.default_content()
    browser.shot("mlflow-report")

    assert browser.errors() == []
