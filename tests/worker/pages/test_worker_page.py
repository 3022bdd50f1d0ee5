"""The pages of a manager in a real browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from support.browser import DEADLINE
from support.browser import browser as browser  # the fixture
from support.build_records import EPOCH, ran
from support.build_view import Desk

from zuul_launcher.web.serve import Page
from zuul_launcher.worker.pages.app import make_app
from zuul_launcher.worker.pages.view import NodeView

pytestmark = pytest.mark.chromium

IMAGE = "<img src=x onerror=\"document.title='owned'\">"
TEXTS = "#lines .row > span"


class Screen:
    """A browser that looks at the pages of a desk."""

    def __init__(self, browser: webdriver.Chrome, desk: Desk) -> None:
        self.browser = browser
        self.desk = desk
        self.page = Page(make_app(desk, clock=lambda: EPOCH + 100))

    def open(self, path: str) -> None:
        self.browser.get("about:blank")  # else only the fragment may change
        self.browser.get(self.page.url + path)

    def text(self, selector: str = "main") -> str:
        """What a reader sees there; empty while there is no such thing."""
        text: str = self.browser.execute_script(
            "const found = document.querySelector(arguments[0]); return found ? found.innerText : ''", selector
        )
        return text

    def texts(self, selector: str = TEXTS) -> list[str]:
        texts: list[str] = self.browser.execute_script(  # in one go: the page may be drawn again meanwhile
            "return [...document.querySelectorAll(arguments[0])].map((found) => found.innerText.trim())", selector
        )
        return texts

    def verdict(self) -> str:
        return " ".join(self.text("#verdict").split())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def rows(self) -> int:
        count: int = self.run("return document.querySelectorAll('.row').length")
        return count

    def first_line(self) -> int:
        return int(self.run("return document.querySelector('.row')?.id.slice(1) ?? 0"))

    def last_line(self) -> int:
        return int(self.run("return [...document.querySelectorAll('.row')].pop()?.id.slice(1) ?? 0"))

    def is_seen(self, selector: str) -> bool:
        """Does the window of the console show it now?"""
        seen: bool = self.run(
            """const found = document.querySelector(arguments[0]);
            if (!found) return false;
            const inside = found.getBoundingClientRect();
            const window = document.getElementById("window").getBoundingClientRect();
            return inside.top >= window.top - 1 && inside.bottom <= window.bottom + 1""",
            selector,
        )
        return seen

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.browser, DEADLINE, poll_frequency=0.1).until(lambda _: condition())

    def find(self, words: str) -> None:
        field = self.browser.find_element(By.ID, "words")
        field.clear()
        field.send_keys(words, Keys.ENTER)

    def complaints(self) -> list[str]:
        """What the browser wrote to its console: script errors, refused loads, broken policies."""
        log: list[dict[str, Any]] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in log]


@pytest.fixture
def screen(browser: webdriver.Chrome, desk: Desk) -> Iterator[Screen]:
    screen = Screen(browser, desk)
    with screen.page:
        yield screen
        browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


def test_the_console_grows_while_the_build_runs_and_its_end_is_drawn(screen: Screen) -> None:
    """D90. Also lines that come in pieces; in the end the page shows what became of the build."""
    desk = screen.desk
    desk.begin(step="step 1 of 2", parameters={"ZUUL_CHANGE": "4711"})
    desk.write("first\n")
    screen.open("job/unit/1/")
    screen.wait(lambda: screen.texts() == ["first"])
    assert "step 1 of 2" in screen.text("#facts")
    assert screen.verdict() == "▸ running"
    assert screen.texts(".parameters dd") == ["4711"]

    desk.write("second\nthi")
    screen.wait(lambda: screen.texts() == ["first", "second", "thi"])  # codespell:ignore thi
    desk.write("rd\nfourth\n")
    screen.wait(lambda: screen.texts() == ["first", "second", "third", "fourth"])
    assert screen.texts(".row > a") == ["1", "2", "3", "4"]

    desk.history.describe("unit", 1, "now <b>described</b>")  # D56
    screen.wait(lambda: screen.text(".description") == "now described")

    desk.write("last\n")
    desk.artifact("log/a.log", b"x")
    desk.finish(result="FAILURE")
    screen.wait(lambda: screen.verdict() == "✕ FAILURE")
    assert screen.texts()[-1] == "last"
    assert screen.texts(".files a") == ["log/"]
    assert screen.browser.title.startswith("✕ unit #1")
    screen.wait(lambda: screen.text("#end") == "")
    assert screen.complaints() == []


def test_the_window_follows_the_end_until_the_reader_looks_back(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    desk.write("".join(f"line {number}\n" for number in range(1, 301)))
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.is_seen("#L300"))
    desk.write("".join(f"line {number}\n" for number in range(301, 401)))
    screen.wait(lambda: screen.is_seen("#L400"))

    screen.run("document.getElementById('window').scrollTop = 0")
    screen.wait(lambda: not screen.run("return document.getElementById('follow').checked"))
    desk.write("line 401\n")
    screen.wait(lambda: screen.last_line() == 401)
    assert screen.is_seen("#L1")
    screen.browser.find_element(By.ID, "follow").click()
    screen.wait(lambda: screen.is_seen("#L401"))


WATCHED = """
    const waiting = window.waiting = new Set();  // timers and requests that may yet lead to more
    const { setTimeout, clearTimeout, fetch } = window;
    window.setTimeout = (work, ...rest) => {
      const timer = setTimeout((...all) => { waiting.delete(timer); work(...all); }, ...rest);
      waiting.add(timer);
      return timer;
    };
    window.clearTimeout = (timer) => { waiting.delete(timer); clearTimeout(timer); };
    window.fetch = async (...all) => {
      const request = {};
      waiting.add(request);
      try { return await fetch(...all); } finally { setTimeout(() => waiting.delete(request), 100); }
    };
"""


def test_nothing_is_asked_for_while_the_page_is_hidden(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    desk.write("first\n")
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.texts() == ["first"])
    screen.run(WATCHED)
    desk.write("second\n")
    screen.wait(lambda: screen.rows() == 2 and screen.run("return window.waiting.size"))
    screen.run("Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })")
    screen.run("document.dispatchEvent(new Event('visibilitychange'))")
    screen.wait(lambda: screen.run("return window.waiting.size") == 0)
    desk.write("third\n")
    assert screen.texts() == ["first", "second"]
    screen.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    screen.wait(lambda: screen.texts() == ["first", "second", "third"])


def test_colours_are_shown_and_other_sequences_are_not(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    desk.write(
        "\x1b[1;31mred\x1b[0m plain \x1b[38;5;208morange\x1b[39m \x1b[48;2;1;2;3mground\x1b[0m\n"
        "\x1b]0;title\x07\x1b[2K\x1b[Aquiet\x1b(B\n"
        "10%\r50%\r100%\r\n"
        "\x1b[32mgreen\n"
        "still\x1b[m not\n"
    )
    desk.finish()
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.rows() == 5)
    assert screen.texts()[:1] + screen.texts()[2:] == ["red plain orange ground", "100%", "green", "still not"]
    assert screen.texts()[1].startswith("quiet")
    assert screen.texts("#L1 .f1.strong") == ["red"]
    styles = screen.run(
        "return [...document.querySelectorAll('#L1 span span')].map((one) => one.getAttribute('style'))"
    )
    assert styles == [None, "color: rgb(255, 135, 0);", "color: white; background-color: rgb(1, 2, 3);"]
    assert screen.texts("#L4 .f2, #L5 .f2") == ["green", "still"]
    assert screen.complaints() == []


def test_times_are_shown_when_asked_for_and_that_is_remembered(screen: Screen) -> None:
    screen.desk.begin()
    screen.desk.write("one\n", at=EPOCH + 1.5)
    screen.desk.finish()
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.rows() == 1)
    time_shown = "return getComputedStyle(document.querySelector('.row time')).display !== 'none'"
    assert not screen.run(time_shown)
    screen.browser.find_element(By.ID, "times").click()
    assert screen.run(time_shown)
    moment = screen.run("return document.querySelector('.row time').dateTime")
    assert moment == "2026-09-21T14:13:21.500Z"
    assert len(screen.text(".row time").split(":")) == 3
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.rows() == 1)
    assert screen.run(time_shown)
    screen.browser.find_element(By.ID, "times").click()
    assert not screen.run(time_shown)


def test_a_link_to_a_line_shows_that_line(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    desk.write("".join(f"line {number}\n" for number in range(1, 1001)))
    desk.finish()
    screen.open("job/unit/1/#L12")
    screen.wait(lambda: screen.texts(".row.target > span") == ["line 12"])
    assert screen.is_seen("#L12")
    screen.run("document.querySelector('#L20 a').click()")
    screen.wait(lambda: screen.texts(".row.target > span") == ["line 20"])
    assert screen.browser.current_url.endswith("/job/unit/1/#L20")


def test_a_console_of_a_hundred_megabytes_is_shown_in_parts(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    width, count = 75, 1_400_000
    with desk.place().console.open("wb") as console:
        for start in range(1, count + 1, 10_000):
            console.write(b"".join(b"line %07d %s\n" % (number, b"x" * 61) for number in range(start, start + 10_000)))
    assert desk.place().console.stat().st_size > 100 * 2**20
    desk.finish()
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.is_seen(f"#L{count}"))
    before = screen.first_line()
    assert count - before < 3000

    screen.run("document.getElementById('earlier').click()")
    screen.wait(lambda: screen.first_line() < before)
    assert screen.last_line() == count

    screen.find("line 0700000")
    screen.wait(lambda: screen.texts(".row.at > span") == [f"line 0700000 {'x' * 61}"])
    assert screen.is_seen("#L700000")
    assert screen.text("#found") == "1 of 1"
    for _ in range(12):
        after = screen.last_line()
        screen.run("const place = document.getElementById('window'); place.scrollTop = place.scrollHeight")
        screen.wait(lambda after=after: screen.last_line() > after)
    assert screen.rows() < 40_000
    numbers = screen.run("return [...document.querySelectorAll('.row')].map((row) => Number(row.id.slice(1)))")
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert screen.text(f"#L{numbers[-1]} > span") == f"line {numbers[-1]:07} {'x' * 61}"
    assert width * count == desk.place().console.stat().st_size
    assert screen.complaints() == []


def test_words_are_found_one_after_the_other(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    desk.write("".join(f"line {number}{' ERROR' if number % 100 == 7 else ''}\n" for number in range(1, 501)))
    desk.finish()
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.rows() == 500)
    screen.browser.find_element(By.TAG_NAME, "body").send_keys("/")
    screen.browser.switch_to.active_element.send_keys("error", Keys.ENTER)
    screen.wait(lambda: screen.text("#found") == "1 of 5")
    screen.wait(lambda: screen.is_seen("#L7.at"))
    assert screen.run("return CSS.highlights.get('found').size") == 5
    screen.browser.find_element(By.ID, "next").click()
    screen.wait(lambda: screen.is_seen("#L107.at"))
    screen.browser.find_element(By.ID, "words").send_keys(Keys.SHIFT, Keys.ENTER)
    screen.wait(lambda: screen.is_seen("#L7.at"))
    screen.find("no such words")
    screen.wait(lambda: screen.text("#found") == "nothing")
    screen.browser.find_element(By.ID, "words").send_keys(Keys.ESCAPE)
    screen.wait(lambda: screen.text("#found") == "")
    assert screen.complaints() == []


def test_hostile_texts_stay_texts(screen: Screen) -> None:
    """D57. In the console, the description, parameters, names and tests."""
    desk = screen.desk
    job = f"a/b {IMAGE}"
    desk.begin(job, parameters={IMAGE: f"{IMAGE}\u202e", "nested": {"x": IMAGE}}, node=IMAGE, step=IMAGE)
    desk.write(f"{IMAGE}\n\u202eevil\n\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n", job)
    description = (
        f"<b>kept</b>{IMAGE}<script>document.title='owned'</script><a href='javascript:document.title=1'>x</a>"
    )
    desk.history.describe(job, 1, description)
    desk.artifact(IMAGE.replace("/", ""), b"x", job)
    case = dict.fromkeys(("name", "class_name", "suite", "file", "message", "text"), IMAGE) | {"seconds": 1.5}
    counts = {"tests": 1, "failures": 1, "errors": 0, "skipped": 0, "problems": [[IMAGE, IMAGE]], "is_cut": False}
    desk.finish(job, tests={**counts, "failed": [case]})
    screen.open("")
    screen.wait(lambda: job in screen.text("#builds"))
    screen.browser.find_element(By.LINK_TEXT, f"{job} #1").click()
    screen.wait(lambda: screen.rows() == 3)
    assert screen.texts() == [IMAGE, "\ufffdevil", "link"]
    assert screen.text(".description") == "keptx"
    assert screen.texts(".parameters dt")[0] == IMAGE
    assert f"{IMAGE}\ufffd" in screen.texts(".parameters dd")
    assert screen.text(".tests summary").count(IMAGE) == 2
    assert screen.browser.find_elements(By.CSS_SELECTOR, "main img, main script, main a[href^=javascript]") == []
    assert "owned" not in screen.browser.title.replace(IMAGE, "")
    assert screen.complaints() == []


def test_a_script_of_an_artifact_does_not_run(screen: Screen) -> None:
    screen.desk.begin()
    screen.desk.artifact("x.html", b"<title>quiet</title><p>shown</p><script>document.title='owned'</script>")
    screen.open("job/unit/1/artifact/")
    screen.browser.find_element(By.LINK_TEXT, "x.html").click()
    screen.wait(lambda: screen.text("p") == "shown")
    assert screen.browser.title == "quiet"
    assert any("sandbox" in complaint for complaint in screen.complaints())


def test_the_overview_follows_nodes_and_builds(screen: Screen) -> None:
    desk = screen.desk
    desk.now_nodes = [NodeView(name="trusty-1", labels=("linux",), executors=2, busy=1)]
    ran(desk.history, "older", result="UNSTABLE", started_at=EPOCH - 60)
    screen.open("")
    screen.wait(lambda: "UNSTABLE" in screen.text("#builds"))
    assert "1 of 2 executors busy" in screen.text("#nodes")
    desk.begin("docs/build")
    screen.wait(lambda: "docs/build #1" in screen.text("#nodes") and "docs/build #1" in screen.text("#builds"))
    desk.now_nodes = [NodeView(name="trusty-1", state="offline", reason="asked by Gearman")]
    desk.state = {"status": "no Gearman server"}
    screen.wait(lambda: "asked by Gearman" in screen.text("#nodes"))
    assert screen.verdict() == "✕ no Gearman server"
    screen.browser.find_element(By.LINK_TEXT, "docs/build #1").click()
    screen.wait(lambda: screen.text("#end") == "Running …")
    screen.browser.find_element(By.LINK_TEXT, "docs/build").click()
    screen.wait(lambda: "Builds of docs/build" in screen.text())
    screen.run("document.querySelector('h1 a').click()")
    screen.wait(lambda: "UNSTABLE" in screen.text("#builds"))


def test_a_lost_connection_is_said_and_healed(screen: Screen) -> None:
    desk = screen.desk
    desk.begin()
    desk.write("first\n")
    screen.open("job/unit/1/console")
    screen.wait(lambda: screen.texts() == ["first"])
    port = screen.page.port
    screen.page.stop()
    screen.wait(lambda: screen.text("#end") == "Connection lost; trying again.")
    desk.write("second\n")
    with Page(make_app(desk, clock=lambda: EPOCH + 100), port=port):
        screen.wait(lambda: screen.texts() == ["first", "second"] and screen.text("#end") == "Running …")
        screen.wait(lambda: screen.text("#lost") == "")


def test_the_pages_fit_on_a_phone(screen: Screen) -> None:
    desk = screen.desk
    desk.begin("x" * 200, parameters={"y" * 200: "z" * 2000}, node="n" * 100)
    desk.write("w" * 5000 + "\n", "x" * 200)
    screen.browser.set_window_size(400, 800)
    for path in ("", f"job/{'x' * 200}/1/", f"job/{'x' * 200}/1/console"):
        screen.open(path)
        screen.wait(lambda: "running" in screen.text("body") and (screen.rows() or screen.text("#builds")))
        wide, seen = screen.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= seen
    screen.browser.set_window_size(1600, 1000)
