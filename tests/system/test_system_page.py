"""The page of a running gate, in a real browser."""

import re
from pathlib import Path

import pytest
from selenium import webdriver
from support.browser import browser as browser  # the fixture
from support.system import running_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.stand_in import SimGerrit

pytestmark = pytest.mark.chromium


def test_the_page_follows_a_running_gate(browser: webdriver.Chrome, stand_in: SimGerrit, tmp_path: Path) -> None:
    def text(selector: str) -> str:
        shown = browser.execute_script(
            "const found = document.querySelector(arguments[0]); return found ? found.innerText : ''", selector
        )
        return re.sub(r"\s+", " ", shown).strip()

    def all_of(selector: str, attribute: str) -> list[str]:
        found: list[str] = browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(one => one[arguments[1]])", selector, attribute
        )
        return found

    with running_gate(tmp_path, stand_in) as gate:
        browser.get(gate.site.url)
        wait_until(lambda: text("#nothing") == "All quiet: nothing is queued.", what="an empty page")

        first = gate.push("alpha", {"new": "x\n"})
        second = gate.push("beta", {"broken": "x\n"})
        for change in (first, second):
            gate.approve(change)
        gate.wait_for_builds(("unit", first.number), ("unit", first.number, second.number))
        wait_until(lambda: text("main").count("testing · 0 of 1 job") == 2, what="two items under way")
        assert text("#totals") == "2 items"
        assert all_of(".item .id", "innerText") == [first.id, second.id]
        wait_until(lambda: "http://w1.example.net/job/unit/1/" in all_of("a", "href"), what="a link to the build")

        gate.release(second)
        wait_until(lambda: text("#totals") == "2 items · 1 failing", what="the failed item")
        assert "failing · 1 of 1 job, 1 failed" in text("main")
        assert browser.title.startswith("✕1 2 · ")

        gate.worker.release_all()
        gate.wait_for_status("MERGED", first)
        wait_until(lambda: text("#nothing") == "All quiet: nothing is queued.", what="an empty page")
        complaints = browser.get_log("browser")  # type: ignore[no-untyped-call]
        browser.get("about:blank")
    assert complaints == []
