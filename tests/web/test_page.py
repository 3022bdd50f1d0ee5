"""The page in a real browser."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from support.browser import DEADLINE
from support.browser import browser as browser  # the fixture
from support.states import EPOCH, add_build, add_item, make_change, make_layout, make_pipeline, make_state, tree

from zuul_launcher.model.change import Account
from zuul_launcher.model.queue import State
from zuul_launcher.web.app import make_app
from zuul_launcher.web.board import Board
from zuul_launcher.web.serve import Page
from zuul_launcher.web.status import View, document, encode

pytestmark = pytest.mark.chromium

LAYOUT = make_layout(
    make_pipeline("check", "independent", description="Tests every new patch set"),
    make_pipeline("gate", shared_queues={"lib/alpha": "core", "lib/beta": "core"}, description="Lands what passes"),
    make_pipeline("post", "independent", description="After landing"),
    trees={
        "lib/alpha": {"gate": tree("unit", "docs"), "check": tree("unit")},
        "lib/beta": {"gate": tree("unit", ("build", "deploy"))},
    },
)

Published = Callable[..., None]


class Screen:
    """A browser that looks at a page which shows what is put on its board."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        self.board = Board()
        self.started = time.time()
        self.page = Page(make_app(self.board, clock=time.time, title="Test gate"))

    def show(self, state: State, **view: Any) -> None:
        now = EPOCH + 100
        shown = View(now=now, version="0.1", **view)
        self.board.publish(encode(document(state, LAYOUT, shown)), time.time())

    def text(self, selector: str = "main") -> str:
        """What a reader sees there; empty while there is no such thing."""
        text: str = self.browser.execute_script(
            "const found = document.querySelector(arguments[0]); return found ? found.innerText : ''", selector
        )
        return text

    def texts(self, selector: str) -> list[str]:
        texts: list[str] = self.browser.execute_script(  # in one go: the page may be drawn again meanwhile
            "return [...document.querySelectorAll(arguments[0])].map((found) => found.innerText.trim())", selector
        )
        return texts

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.browser, DEADLINE, poll_frequency=0.1).until(lambda _: condition())

    def complaints(self) -> list[str]:
        """What the browser wrote to its console: script errors, refused loads, broken policies."""
        log: list[dict[str, Any]] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in log]


@pytest.fixture
def screen(browser: webdriver.Chrome) -> Iterator[Screen]:
    screen = Screen(browser)
    with screen.page:
        yield screen
        browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


def running_gate() -> State:
    """Three changes in the gate, the second of them failing, and one in check."""
    state = make_state()
    first = add_item(state, LAYOUT, make_change("4710", "2", "lib/alpha"))
    add_build(first, "unit", result="SUCCESS", started_at=EPOCH, ended_at=EPOCH + 41)
    add_build(first, "docs", started_at=EPOCH + 40, estimate=3059.0, url="https://ci.example.net/docs/7/")
    second = add_item(state, LAYOUT, make_change("4711", "3", "lib/beta", owner=Account(name="Bo")))
    second.build_set.failing_reasons = ("at least one job failed",)
    add_build(second, "unit", result="FAILURE", started_at=EPOCH, ended_at=EPOCH + 9, url="https://ci.example.net/u/1/")
    add_build(second, "build", result="FAILURE", voting=False, started_at=EPOCH, ended_at=EPOCH + 9)
    add_item(state, LAYOUT, make_change("4712", "1", "lib/alpha"), ahead=first.id)
    add_item(state, LAYOUT, make_change("4713", "1", "lib/alpha"), "check")
    return state


def test_a_running_gate_is_shown_and_follows_its_builds(screen: Screen) -> None:
    state = running_gate()
    screen.show(state)
    screen.browser.get(screen.page.url)
    screen.wait(lambda: screen.texts(".pipeline h2") == ["check", "gate"])

    gate = screen.text(".pipeline:nth-child(2)")
    assert "Lands what passes" in gate
    assert "core · window 20" in gate
    assert [re.sub(r"\s+", " ", text) for text in screen.texts(".pipeline:nth-child(2) .title")] == [
        "4710,2 lib/alpha 49 min left",
        "4711,3 lib/beta",
        "4712,1 lib/alpha",
    ]
    assert "testing · 1 of 2 jobs" in gate
    assert "failing · 3 of 3 jobs, 2 failed" in gate
    assert "at least one job failed" in gate
    assert "on top of 4710,2" in gate
    assert "preparing · 0 of 2 jobs" in gate
    assert "FAILURE · 9 s · non-voting" in gate
    assert screen.texts("#idle li") == ["post"]
    assert screen.text("#totals") == "4 items · 1 failing"
    assert screen.browser.title == "✕1 4 · Test gate"
    links = screen.browser.find_elements(By.CSS_SELECTOR, "a[href]")
    addresses = [link.get_attribute("href") for link in links]
    assert {"https://review.example.net/4710", "https://ci.example.net/docs/7/"} <= set(addresses)

    build = state.items["test-1"].build_set.builds["docs"]
    build.result, build.ended_at = "SUCCESS", EPOCH + 99
    screen.show(state)
    screen.wait(lambda: "passed · 2 of 2 jobs" in screen.text(".pipeline:nth-child(2)"))

    screen.show(make_state())
    screen.wait(lambda: screen.text("#nothing") == "All quiet: nothing is queued.")
    assert screen.texts("#idle li") == ["check", "gate", "post"]
    assert screen.complaints() == []


def test_what_a_person_opened_and_where_the_focus_is_stay_over_new_documents(screen: Screen) -> None:
    state = running_gate()
    screen.show(state)
    screen.browser.get(screen.page.url)
    closed = ".pipeline:nth-child(2) .item:nth-child(3)"
    screen.wait(lambda: screen.text(f"{closed} .id") == "4712,1")
    assert screen.text(f"{closed} .job") == ""
    screen.browser.execute_script("document.querySelector(arguments[0]).focus()", f"{closed} summary")
    screen.browser.switch_to.active_element.send_keys(Keys.ENTER)
    screen.wait(lambda: "unit" in screen.text(f"{closed} .job"))

    add_build(state.items["test-3"], "unit", started_at=EPOCH + 90)
    screen.show(state)
    screen.wait(lambda: "testing" in screen.text(f"{closed} .state"))
    assert "unit" in screen.text(f"{closed} .job")
    assert screen.browser.execute_script("return document.activeElement.tagName") == "SUMMARY"


def test_the_filter_works_by_keyboard_and_is_kept_in_the_address(screen: Screen) -> None:
    screen.show(running_gate())
    screen.browser.get(screen.page.url)
    screen.wait(lambda: len(screen.texts(".item")) == 4)
    body = screen.browser.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    screen.browser.switch_to.active_element.send_keys("BETA bo")
    screen.wait(lambda: screen.texts(".item .id") == ["4711,3"])
    assert screen.browser.current_url.endswith("#filter=BETA+bo")

    screen.browser.get("about:blank")
    screen.browser.get(screen.page.url + "#filter=deploy&jobs=all")
    screen.wait(lambda: screen.texts(".item .id") == ["4711,3"])
    assert "deploy" in screen.text(".jobs")
    screen.browser.find_element(By.ID, "filter").send_keys(" xyz")
    screen.wait(lambda: screen.text("#nothing") == "Nothing matches “deploy xyz”.")
    screen.browser.find_element(By.ID, "filter").send_keys(Keys.ESCAPE)
    screen.wait(lambda: len(screen.texts(".item")) == 4)
    assert screen.browser.current_url.endswith("#jobs=all")
    assert screen.complaints() == []


def test_hostile_texts_stay_texts_and_links_lead_to_the_web_only(screen: Screen) -> None:
    state = make_state()
    image = "<img src=x onerror=\"document.title='owned'\">"
    hostile = make_change("6", "6", "lib/alpha", url="javascript:alert(1)", owner=Account(name=f"\u202eevil {image}"))
    item = add_item(state, LAYOUT, hostile)
    item.build_set.failing_reasons = (image,)
    add_build(item, "unit", result=f"{image}\u2066", url="javascript:alert(2)")
    add_build(item, "docs", result="FAILURE", url="data:text/html,<script>alert(3)</script>")
    screen.show(state, errors=(f"layout.yaml:3: {image}",), message=f"<p><b>Queue only mode:</b> {image}</p>")
    screen.browser.get(screen.page.url)
    screen.wait(lambda: "6,6" in screen.text())

    assert screen.text("#errors").count(image) == 1
    assert screen.text("#message") == f"Queue only mode: {image}"
    assert screen.texts(".reasons li") == [image]
    assert image in screen.text(".job .word")
    assert f"\ufffdevil {image}" in screen.text(".facts")
    assert "\u202e" not in screen.text()
    assert screen.browser.find_elements(By.CSS_SELECTOR, "main img, main script") == []
    assert screen.browser.find_elements(By.CSS_SELECTOR, "main section a[href]") == []
    assert screen.browser.title == "✕1 1 · Test gate"
    assert screen.complaints() == []


def test_the_order_of_items_follows_the_queue(screen: Screen) -> None:
    state = running_gate()
    screen.show(state)
    screen.browser.get(screen.page.url)
    screen.wait(lambda: len(screen.texts(".item")) == 4)
    queue = state.pipelines["gate"].queues[0]
    queue.items = [queue.items[2], queue.items[0]]
    state.items[queue.items[0]].ahead = None
    screen.show(state)
    screen.wait(lambda: screen.texts(".pipeline:nth-child(2) .id") == ["4712,1", "4710,2"])


def test_a_lost_connection_is_said_and_healed(screen: Screen) -> None:
    screen.show(running_gate())
    screen.browser.get(screen.page.url)
    screen.wait(lambda: screen.text("#connection") == "● Live")
    port = screen.page.port
    screen.page.stop()
    screen.wait(lambda: screen.text("#lost").startswith("Connection lost. Last heard "))
    assert screen.text("#connection") == "○ Not connected"
    assert "4710,2" in screen.text()
    with Page(make_app(screen.board, clock=time.time), port=port):
        screen.wait(lambda: screen.text("#connection") == "● Live" and screen.text("#lost") == "")


def test_a_gate_that_starts_says_so(screen: Screen) -> None:
    screen.browser.get(screen.page.url)
    screen.wait(lambda: "The gate is starting." in screen.text("#lost"))
    screen.show(make_state())
    screen.wait(lambda: "All quiet" in screen.text())


def test_the_page_fits_on_a_phone(screen: Screen) -> None:
    state = running_gate()
    state.items["test-1"].build_set.failing_reasons = ("x" * 300,)
    screen.show(state, errors=("y" * 300,))
    screen.browser.set_window_size(400, 800)
    screen.browser.get(screen.page.url)
    screen.wait(lambda: "4710,2" in screen.text())
    wide, seen = screen.browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= seen
    screen.browser.set_window_size(1600, 1000)


def test_a_large_gate_is_drawn_whole(screen: Screen) -> None:
    state = make_state()
    for number in range(300):
        item = add_item(state, LAYOUT, make_change(str(1000 + number), "1", "lib/beta"))
        for job in ("unit", "build"):
            add_build(item, job, started_at=EPOCH)
    screen.show(state)
    screen.browser.get(screen.page.url)
    screen.wait(lambda: screen.browser.execute_script("return document.querySelectorAll('.item').length") == 300)
    assert screen.complaints() == []


def test_the_document_that_the_page_reads_is_the_one_of_status(screen: Screen) -> None:
    screen.show(running_gate())
    newest = screen.board.newest
    assert newest is not None
    assert [pipeline["name"] for pipeline in msgspec.json.decode(newest.body)["pipelines"]] == ["check", "gate", "post"]
