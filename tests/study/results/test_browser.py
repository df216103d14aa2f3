"""The page in a real browser, where one is installed."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from study.results.model import Report
from study.results.writing import write_index, write_report
from tests.study.results import example

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: install chromium to see the page in it"),
]


def _console(page: Path, profile: Path) -> list[str]:
    """What the browser's console says about a page; the page's policy makes each attempt to load something an error."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--enable-logging=stderr",
    ]
    command = [str(BROWSER), *options, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "How strongly to align" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(DRIVER is None, reason="no chromedriver: install chromium-driver")
def test_page_and_index_on_a_phone_and_on_paper(tmp_path: Path) -> None:
    """Nothing is wider than a phone, links lead somewhere, the console is silent, and print fits six pages."""
    for name in ("digits", "hostile"):
        (tmp_path / name).mkdir()
        write_report(Report.from_json(getattr(example, f"{name}_report")()), tmp_path / name)
    index = write_index(tmp_path)
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        driver.get(index.as_uri())
        for name in ("digits", "hostile"):
            driver.get(index.as_uri())
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
            driver.find_element(By.LINK_TEXT, name).click()
            assert "How strongly to align" in driver.title
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
            driver.find_element(By.LINK_TEXT, "all studies of this folder").click()
            assert driver.current_url == index.as_uri()
        assert driver.get_log("browser") == []
        driver.get((tmp_path / "digits" / "report.html").as_uri())
        _check_tips(driver)
        printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
        assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= 6
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        folded = driver.find_element(By.CSS_SELECTOR, "details td")
        assert folded.rect["height"] > 0  # on paper nobody can open it
        assert not driver.find_element(By.CSS_SELECTOR, ".point").is_displayed()
    finally:
        driver.quit()


def _check_tips(driver: webdriver.Chrome) -> None:
    """Numbers of a point are shown where the keyboard's focus is, and where the mouse is, and nowhere else."""

    def shown() -> list[str]:
        script = "return [...document.querySelectorAll('.tip')].filter(tip => getComputedStyle(tip).display != 'none')"
        return [str(tip.get_attribute("textContent")) for tip in driver.execute_script(script)]

    assert shown() == []
    for _ in range(60):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        if driver.switch_to.active_element.get_attribute("class") == "point":
            break
    (text,) = shown()
    assert "λ" in text
    driver.execute_script("document.activeElement.blur()")
    point = driver.find_elements(By.CSS_SELECTOR, ".point circle")[-1]
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(driver).move_to_element(point).perform()
    assert len(shown()) == 1


@pytest.mark.parametrize("name", ["digits_report", "hostile_report"])
def test_the_page_opens_without_a_word_on_the_console(tmp_path: Path, name: str) -> None:
    write_report(Report.from_json(getattr(example, name)()), tmp_path)
    assert _console(tmp_path / "report.html", tmp_path / "profile") == []


def test_a_page_that_loads_something_would_be_noticed(tmp_path: Path) -> None:
    write_report(Report.from_json(example.digits_report()), tmp_path)
    page = tmp_path / "report.html"
    page.write_text(page.read_text().replace("<main>", '<main><img src="http://127.0.0.1:9/x.png" alt="">'))
    assert _console(page, tmp_path / "profile")
