"""The event stream: every line once, in order; a dead or silent connection is noticed and made again."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gerrit_shell import DEADLINE, Proxy, connection
from support.waiting import wait_until

from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.watch import Lines, Pace, StreamLost, Watch
from zuul_launcher.settings import GerritConnection
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

QUICK = Pace(connecting=DEADLINE, silence=0.1, reply=0.3, first_pause=0.02, last_pause=0.1)


class Watcher:
    """A watch in a thread, and what it told."""

    def __init__(self, settings: GerritConnection, pace: Pace = QUICK) -> None:
        self.lines: list[bytes] = []
        self.states: list[str] = []
        self.watch = Watch(settings, self.lines.append, self.states.append, clock=time.monotonic, pace=pace)
        self.thread = threading.Thread(target=self.watch.run)
        self.thread.start()

    def types(self) -> list[str]:
        return [parse.trigger(line, "gerrit").type for line in self.lines]

    def wait_for(self, state: str, count: int = 1) -> None:
        wait_until(
            lambda: sum(each.startswith(state) for each in self.states) >= count, what=f"{state} in {self.states}"
        )

    def stop(self) -> None:
        self.watch.stop()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


@pytest.fixture
def watcher(settings: GerritConnection) -> Iterator[Watcher]:
    watcher = Watcher(settings)
    yield watcher
    watcher.stop()


def test_events_arrive_in_order_whether_they_come_alone_or_at_once(site: SimGerrit, watcher: Watcher) -> None:
    watcher.wait_for("connected")
    site.create_project("p")
    change = site.push_change("p", "master", {"a": "a\n"}, "Add a")
    for value in (1, 2, -1):
        site.vote(change, "Code-Review", value)
    site.abandon(change)
    wait_until(lambda: "change-abandoned" in watcher.types(), what="the last event")
    kinds = [kind for kind in watcher.types() if kind not in ("ref-updated", "project-created")]
    assert kinds == ["patchset-created", *["comment-added"] * 3, "change-abandoned"]


def test_a_stream_that_is_cut_is_opened_again_and_said_once(site: SimGerrit, watcher: Watcher) -> None:
    watcher.wait_for("connected")
    assert site.drop_streams() == 1
    watcher.wait_for("connected", 2)
    assert len(watcher.states) == 3
    assert watcher.states[1].startswith("lost: ")
    wait_until(site.watchers, what="the new stream")
    site.create_project("later")
    wait_until(lambda: "project-created" in watcher.types(), what="an event on the new connection")


def behind(proxy: Proxy, site: SimGerrit, directory: Path) -> GerritConnection:
    """The site as seen through a proxy; no signs of life but those that the watch asks for."""
    return connection(site, directory, host_key=site.known_hosts_line().partition(" ")[2], port=proxy.port, keepalive=0)


def test_a_server_that_is_away_is_tried_until_it_is_back_and_said_once(
    site: SimGerrit, tmp_path: Path, proxy: Proxy
) -> None:
    site.faults.refuse_logins = True
    watcher = Watcher(behind(proxy, site, tmp_path))
    try:
        wait_until(lambda: proxy.connections > 2, what="several tries")
        site.faults.refuse_logins = False
        watcher.wait_for("connected")
        assert len(watcher.states) == 2
        assert "login refused" in watcher.states[0]
    finally:
        watcher.stop()


def test_a_connection_that_is_silent_and_dead_is_noticed(site: SimGerrit, tmp_path: Path, proxy: Proxy) -> None:
    watcher = Watcher(behind(proxy, site, tmp_path))
    try:
        watcher.wait_for("connected")
        proxy.freeze()
        watcher.wait_for("lost: Gerrit does not answer")
        proxy.thaw()
        watcher.wait_for("connected", 2)
    finally:
        watcher.stop()


def test_a_connection_that_is_silent_and_alive_is_kept(site: SimGerrit, tmp_path: Path, proxy: Proxy) -> None:
    watcher = Watcher(behind(proxy, site, tmp_path), Pace(silence=0.01, reply=DEADLINE))
    try:
        watcher.wait_for("connected")
        before = proxy.passed
        wait_until(lambda: proxy.passed > before + 20, what="signs of life asked for and given")
        site.create_project("p")
        wait_until(lambda: watcher.types(), what="an event")
        assert watcher.states == ["connected"]
        assert proxy.connections == 1
    finally:
        watcher.stop()


def test_who_may_not_watch_is_told_so(site: SimGerrit, tmp_path: Path) -> None:
    watcher = Watcher(connection(site, tmp_path, "ben"))
    try:
        watcher.wait_for("lost: stream events not permitted")
    finally:
        watcher.stop()


def test_a_line_without_end_costs_the_connection_and_not_the_memory(site: SimGerrit, tmp_path: Path) -> None:
    watcher = Watcher(connection(site, tmp_path), Pace(longest_line=1000, first_pause=0.02, last_pause=0.1))
    try:
        watcher.wait_for("connected")
        wait_until(site.watchers, what="the stream")
        with site._state.lock:
            for each in site._state.listeners:
                each.put("x" * 100_000)
        watcher.wait_for("lost: a line has more than 1000 bytes")
        watcher.wait_for("connected", 2)
        assert watcher.lines == []
    finally:
        watcher.stop()


def test_stopping_while_nothing_can_be_reached_is_prompt(tmp_path: Path) -> None:
    settings = GerritConnection(name="gerrit", server="127.0.0.1", user="zuul", port=1, known_hosts=tmp_path / "none")
    watcher = Watcher(settings, Pace(first_pause=10 * DEADLINE))
    watcher.wait_for("lost: ")
    watcher.stop()


def test_what_the_receiver_raises_ends_the_watch(site: SimGerrit, settings: GerritConnection) -> None:
    def refuse(line: bytes) -> None:
        raise ZeroDivisionError

    watch = Watch(settings, refuse, lambda state: None, clock=time.monotonic, pace=QUICK)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            watch.run()
        except ZeroDivisionError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(site.watchers, what="the stream")
    site.create_project("p")
    thread.join(DEADLINE)
    assert len(raised) == 1


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), max_size=10), st.integers(1, 30))
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    cutter = Lines(1000)
    found = [line for at in range(0, len(data), size) for line in cutter.feed(data[at : at + size])]
    assert found == [line for line in lines if line.strip()]


def test_a_line_that_is_too_long_is_refused_before_it_ends() -> None:
    cutter = Lines(10)
    assert cutter.feed(b"123\n1234567") == [b"123"]
    with pytest.raises(StreamLost):
        cutter.feed(b"8901")
