"""The page as a browser has it: Debian's Chromium (`apt install chromium
chromium-driver`), through its driver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinyclip.report.page import report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
QUIET = (  # of its own it would call home
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
SIZES = {"phone": 400, "desk": 1400}
SCHEMES = ("light", "dark")
AA, AA_LARGE = 4.5, 3.0  # WCAG 2.2, 1.4.3
# the contrast of every word with what lies behind it, and how large it is
CONTRASTS = """
const parse = text => {
  const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number);
  return {r, g, b, a: a === undefined ? 1 : a};
};
const light = ({r, g, b}) => {
  const [x, y, z] = [r, g, b].map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.a > 0) return colour;
  }
  return {r: 255, g: 255, b: 255};
};
const found = [];
for (const element of document.querySelectorAll("body *:not(svg *)")) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  if (!own || element.closest("svg")) continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(parse(style.color)), light(ground(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const size = parseFloat(style.fontSize);
  found.push({tag: element.tagName, size, bold: style.fontWeight >= 700, ratio});
}
return found;
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium, no chromedriver"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in QUIET.split():
        options.add_argument(argument)
    options.binary_location = str(BROWSER)
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("browser") / "page.html"
    report([finished], out, None, lambda _: None)
    return out.as_uri()


def opened(browser: Any, page: str, width: int = 1400, scheme: str = "light") -> Any:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)
    return browser


def test_nothing_is_asked_for_and_nothing_complains(browser: Any, page: str) -> None:
    browser.get_log("performance"), browser.get_log("browser")
    opened(browser, page)
    events = [
        json.loads(e["message"])["message"] for e in browser.get_log("performance")
    ]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert page in asked
    assert {
        url for url in asked if url != page and not url.startswith("data:")
    } == set()
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", SIZES.values(), ids=SIZES)
def test_the_page_is_as_wide_as_the_screen(browser: Any, page: str, width: int) -> None:
    opened(browser, page, width)
    root = "document.documentElement"
    assert (
        browser.execute_script(
            f"return {root}.scrollWidth <= {root}.clientWidth && window.innerWidth"
        )
        == width
    )
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('svg[role=img], img')].map(e => "
        "[e.getBoundingClientRect().width, e.getBoundingClientRect().height])"
    )
    assert len(boxes) > 10
    assert all(w > 60 and h > 40 for w, h in boxes)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_word_stands_out(browser: Any, page: str, scheme: str) -> None:
    opened(browser, page, scheme=scheme)
    words = browser.execute_script(CONTRASTS)
    assert len(words) > 50
    for word in words:
        is_large = word["size"] >= 24 or (word["bold"] and word["size"] >= 18.5)
        assert word["ratio"] >= (AA_LARGE if is_large else AA), word


def test_keys_reach_every_link_and_everything_that_scrolls(
    browser: Any, page: str
) -> None:
    from selenium.webdriver import ActionChains, Keys

    opened(browser, page)
    wanted = browser.execute_script(
        "return document.querySelectorAll('a[href], [tabindex=\"0\"]').length"
    )
    browser.execute_script("window.seen = new Set()")
    for _ in range(wanted):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        browser.execute_script("window.seen.add(document.activeElement)")
    assert browser.execute_script("return window.seen.size") == wanted
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('.wide')].filter("
        "e => e.scrollWidth > e.clientWidth && e.tabIndex !== 0).length"
    )
    assert hidden == 0


def test_it_prints_without_what_only_screens_have(browser: Any, page: str) -> None:
    opened(browser, page)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    media = {"media": "print", "features": dark}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(ground) == "rgb(255, 255, 255)"  # paper is white
    shown = "return getComputedStyle(document.querySelector('nav')).display"
    assert browser.execute_script(shown) == "none"
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(pdf["data"]) > 50_000
