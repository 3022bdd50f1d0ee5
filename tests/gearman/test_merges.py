"""Merges over every server."""

import json
import logging

import pytest
from support.gearman_places import Launcher, Proxy, Worker
from support.gearman_wire import Place
from support.waiting import wait_until

from zuul_launcher.gearman.merges import read
from zuul_launcher.model.events import Merged

COMMIT = "3b1f" * 10
PAYLOAD = {"items": [{"project": "lib/alpha", "ref": "Z" + "0" * 32}]}
GOOD = json.dumps({"merged": True, "commit": COMMIT, "zuul_url": "http://merger.example.net/p"}).encode()


def merger_at(place: Place) -> Worker:
    return Worker(place, "merger:merge", "merger:update")


def ask(launcher: Launcher, item: str = "7", attempt: int = 1) -> None:
    launcher.merges.merge(item, attempt, "merger:merge", PAYLOAD, "high")


def test_a_merge_is_asked_for_and_its_commit_posted(launcher: Launcher, place: Place) -> None:
    merger = merger_at(place)
    ask(launcher)
    assert merger.take() == "merger:merge"
    assert json.loads(merger.payload) == PAYLOAD
    merger.complete(GOOD)
    assert launcher.expect(Merged) == Merged(
        at=1000.0, item="7", attempt=1, commit=COMMIT, ok=True, zuul_url="http://merger.example.net/p"
    )


def test_a_conflict_is_an_answer_and_not_asked_for_again(launcher: Launcher, place: Place) -> None:
    merger = merger_at(place)
    ask(launcher)
    merger.take()
    merger.complete(b'{"merged": false, "commit": null, "zuul_url": null, "conflicts": ["a/b.txt"]}')
    answer = launcher.expect(Merged)
    assert (answer.ok, answer.commit, answer.conflicts, answer.error) == (False, None, ("a/b.txt",), None)
    merger.sync()
    assert not merger.grab()


def test_an_update_is_done_without_a_commit(launcher: Launcher, place: Place) -> None:
    merger = merger_at(place)
    launcher.merges.merge("7", 1, "merger:update", {"project": "lib/alpha"})
    merger.take()
    merger.complete(b'{"updated": true, "zuul_url": "http://merger.example.net/p"}')
    answer = launcher.expect(Merged)
    assert (answer.ok, answer.commit, answer.zuul_url) == (True, None, "http://merger.example.net/p")


def test_a_merger_that_fails_is_asked_again_and_then_believed(launcher: Launcher, place: Place) -> None:
    merger = merger_at(place)
    ask(launcher)
    for end in (merger.fail, lambda: merger.complete(b"no JSON"), lambda: merger.exception(b"disk full")):
        merger.take()
        end()
    answer = launcher.expect(Merged)
    assert (answer.ok, answer.error) == (False, "disk full")


def test_a_merge_survives_a_cut_connection_without_using_up_a_try(
    launcher: Launcher, place: Place, proxy: Proxy
) -> None:
    for _ in range(4):
        ask(launcher)
        wait_until(lambda: any(merge.handle for merge in launcher.merges._open.values()))
        proxy.cut()
        wait_until(lambda: not launcher.client.connected)
        proxy.mend()
        launcher.connected()
    merger = merger_at(place)
    merger.take()
    merger.complete(GOOD)
    assert launcher.expect(Merged).ok


def test_without_a_merger_items_wait_and_the_log_says_so_once(
    launcher: Launcher, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ask(launcher, "7")
        ask(launcher, "8")
        wait_until(lambda: "items wait" in caplog.text)
        merger = merger_at(place)
        for _ in range(2):
            merger.take()
            merger.complete(GOOD)
            launcher.expect(Merged)
    assert caplog.text.count("items wait") == 1


def test_a_newer_attempt_makes_an_older_one_forgotten(launcher: Launcher, place: Place) -> None:
    ask(launcher, attempt=1)
    ask(launcher, attempt=2)
    wait_until(lambda: any(merge.handle for merge in launcher.merges._open.values() if merge.attempt == 2))
    merger = merger_at(place)
    while merger.grab():  # the older one may have been handed out before it was taken back
        merger.complete(GOOD)
        merger.sync()
    assert launcher.expect(Merged).attempt == 2


def test_a_merge_of_an_item_that_left_is_forgotten(launcher: Launcher, place: Place) -> None:
    ask(launcher)
    wait_until(lambda: any(merge.handle for merge in launcher.merges._open.values()))
    launcher.merges.forget("7", 1)
    ask(launcher, "8")
    wait_until(lambda: any(merge.handle for merge in launcher.merges._open.values() if merge.item == "8"))
    merger = merger_at(place)
    merger.take()
    merger.complete(GOOD)
    assert launcher.expect(Merged).item == "8"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JSON object"),
        (b'{"merged": true}', "sent no commit"),
        (b'{"merged": true, "commit": "--exec=x"}', "sent no commit"),
        (b'{"merged": true, "commit": {}}', "sent no commit"),
    ],
)
def test_nonsense_of_a_merger_is_named(data: bytes, reason: str) -> None:
    answer = read("merger:merge", data)
    assert isinstance(answer, str)
    assert reason in answer
