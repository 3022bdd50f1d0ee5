"""Events that nobody watched are written from what Gerrit remembers, once."""

import time
from pathlib import Path

import pytest
from support.gerrit_shell import connection

from zuul_launcher.gerrit import catchup, parse
from zuul_launcher.gerrit.catchup import missed
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.ssh import Commands
from zuul_launcher.model.change import Account, Approval
from zuul_launcher.model.events import Trigger
from zuul_launcher.sim.gerrit.dialect import Dialect
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


def triggers(lines: list[bytes]) -> list[Trigger]:
    return [parse.trigger(line, "gerrit") for line in lines]


def told(lines: list[bytes]) -> list[tuple[str, str | None, str | None]]:
    return [(trigger.type, trigger.number, trigger.patchset) for trigger in triggers(lines)]


def test_patch_sets_comments_votes_and_ends_are_told(site: SimGerrit, query: Query) -> None:
    since = time.time()
    site.create_project("p")
    one = site.push_change("p", "master", {"a": "a\n"}, "Add a")
    site.vote(one, "Code-Review", 2, "ben", "fine")
    two = site.push_patch_set(one, {"a": "b\n"})
    merged = site.push_change("p", "master", {"m": "m\n"}, "Add m")
    site.merge_by_hand(merged)
    gone = site.push_change("p", "master", {"g": "g\n"}, "Add g")
    site.abandon(gone)
    back = site.push_change("p", "master", {"b": "b\n"}, "Add b")
    site.abandon(back)
    site.restore(back)
    lines = missed(query, since)
    found = told(lines)
    assert {
        ("patchset-created", one.number, "1"),
        ("comment-added", one.number, "1"),
        ("patchset-created", one.number, two.patch_set),
        ("patchset-created", merged.number, "1"),
        ("change-merged", merged.number, "1"),
        ("change-abandoned", gone.number, "1"),
        ("change-restored", back.number, "1"),
    } <= set(found)
    assert ("change-abandoned", back.number, "1") not in found
    comment = next(each for each in triggers(lines) if (each.type, each.number) == ("comment-added", one.number))
    assert comment.approvals == (Approval(label="Code-Review", value=2),)
    assert comment.account == Account(name="Ben", email="ben@example.com", username="ben")
    assert comment.comment == "Patch Set 1: Code-Review+2\n\nfine"
    times = [each.created_on for each in triggers(lines)]
    assert times == sorted(times)


def test_the_lines_say_who_merged_abandoned_and_restored(site: SimGerrit, query: Query) -> None:
    site.create_project("p")
    merged = site.push_change("p", "master", {"m": "m\n"}, "Add m")
    site.merge_by_hand(merged)
    gone = site.push_change("p", "master", {"g": "g\n"}, "Add g")
    site.abandon(gone)
    accounts = {each.type: each.account and each.account.username for each in triggers(missed(query, time.time()))}
    assert accounts["change-merged"] == "admin"
    assert accounts["change-abandoned"] == "ann"


def test_what_is_older_is_not_told_again(site: SimGerrit, query: Query) -> None:
    site.create_project("p")
    site.push_change("p", "master", {"a": "a\n"}, "Add a")
    assert missed(query, time.time() + catchup.OVERLAP + 60) == []


def test_what_was_seen_is_not_told_again(site: SimGerrit, query: Query) -> None:
    since = time.time()
    site.create_project("p")
    change = site.push_change("p", "master", {"a": "a\n"}, "Add a")
    site.vote(change, "Code-Review", 2, "ben", "fine")
    seen = triggers(missed(query, since))
    assert [each.type for each in seen] == ["patchset-created", "comment-added"]
    assert missed(query, since, seen) == []
    site.vote(change, "Code-Review", 1, "ben", "hm")
    assert [each.comment for each in triggers(missed(query, since, seen))] == ["Patch Set 1: Code-Review+1\n\nhm"]


def test_every_page_is_read(tmp_path: Path) -> None:
    since = time.time()
    with SimGerrit(tmp_path / "site", dialect=Dialect(query_limit=2)) as site:
        site.create_project("p")
        pushed = [site.push_change("p", "master", {str(n): "a\n"}, f"Add {n}").number for n in range(5)]
        commands = Commands(connection(site, tmp_path))
        found = told(missed(Query(commands.run), since))
        commands.close()
    assert sorted(number or "" for _, number, _ in found) == sorted(pushed)


def test_changes_over_the_limit_are_given_up_loudly(
    site: SimGerrit, query: Query, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(catchup, "MOST_CHANGES", 1)
    site.create_project("p")
    for name in "ab":
        site.push_change("p", "master", {name: "a\n"}, f"Add {name}")
    assert len(missed(query, time.time())) == 1
    assert "events of older ones are lost" in caplog.text
