"""What is asked, word by word, and how pages are put together."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.gerrit_shell import connection

from zuul_launcher.errors import RemoteRefused
from zuul_launcher.gerrit.query import Query, term
from zuul_launcher.gerrit.ssh import Commands, Finished
from zuul_launcher.sim.gerrit.dialect import Dialect
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


def answering(*answers: bytes) -> tuple[list[str], Callable[[str], Finished]]:
    """A Gerrit that gives these answers, and the commands that it got."""
    asked: list[str] = []

    def run(command: str) -> Finished:
        asked.append(command)
        return Finished(answers[len(asked) - 1], "", 0)

    return asked, run


def test_one_change_is_asked_for_with_everything(site: SimGerrit, query: Query) -> None:
    site.create_project("p")
    change = site.push_change("p", "master", {"a": "a\n"}, "Add a")
    row = query.change(change.number)
    assert row is not None
    assert (row["number"], row["id"]) == (change.number, change.change_id)
    assert site.faults.said == [
        "zuul: gerrit query --format json --all-approvals --comments --commit-message --current-patch-set"
        " --dependencies --files --patch-sets --submit-records 1"
    ]
    assert query.change("99") is None


def test_the_statistics_row_alone_means_not_known_yet() -> None:
    _, run = answering(b'{"type":"stats","rowCount":0,"moreChanges":false}\n')
    assert Query(run).change("1") is None


def test_new_gerrits_are_asked_for_further_pages_by_count() -> None:
    asked, run = answering(
        b'{"number":1}\n{"number":2}\n{"number":3}\n{"type":"stats","rowCount":3,"moreChanges":true}\n',
        b'{"number":4}\n{"number":5}\n{"type":"stats","rowCount":2,"moreChanges":false}\n',
    )
    assert [row["number"] for row in Query(run).search("project:p", "status:open")] == ["1", "2", "3", "4", "5"]
    command = "gerrit query --format json --commit-message --current-patch-set project:p status:open"
    assert asked == [command, f"{command} -S 3"]


def test_old_gerrits_are_asked_by_sort_key_until_a_page_is_empty() -> None:
    asked, run = answering(
        b'{"number":"1","sortKey":"00b"}\n{"type":"stats","rowCount":1}\n',
        b'{"number":"2","sortKey":"00a"}\n{"type":"stats","rowCount":1}\n',
        b'{"type":"stats","rowCount":0}\n',
    )
    assert [row["number"] for row in Query(run).search("change:Iabc")] == ["1", "2"]
    assert [command.partition("change:Iabc")[2] for command in asked] == [
        "",
        " resume_sortkey:'00b'",
        " resume_sortkey:'00a'",
    ]


@pytest.mark.parametrize(
    "dialect", [Dialect(query_limit=2), Dialect(query_limit=2, sort_keys=True, numbers_as_text=True)]
)
def test_all_pages_of_old_and_new_gerrits_are_read(tmp_path: Path, dialect: Dialect) -> None:
    with SimGerrit(tmp_path / "site", dialect=dialect) as site:
        site.create_project("a project")
        pushed = [site.push_change("a project", "master", {f"{n}": "a\n"}, f"Add {n}").number for n in range(5)]
        commands = Commands(connection(site, tmp_path))
        rows = Query(commands.run).search(term("project", "a project"), "status:open")
        commands.close()
    assert sorted(str(row["number"]) for row in rows) == sorted(pushed)


@pytest.mark.parametrize(
    ("answer", "text"),
    [(b'{"type":"error","message":"Unsupported operator foo:bar"}\n', "Unsupported operator"), (b"oops\n", "not JSON")],
)
def test_an_error_or_garbage_in_the_answer_is_a_refusal(answer: bytes, text: str) -> None:
    _, run = answering(answer)
    with pytest.raises(RemoteRefused, match=text):
        Query(run).search("foo:bar")


def test_a_failed_command_is_a_refusal_in_gerrits_words() -> None:
    with pytest.raises(RemoteRefused, match="fatal: no"):
        Query(lambda command: Finished(b"", "fatal: no\n", 1)).change("1")


def test_terms_are_quoted_for_the_query_language() -> None:
    assert term("project", "org/p-1.2") == "project:org/p-1.2"
    assert term("project", "a b OR status:open") == 'project:"a b OR status:open"'
    with pytest.raises(RemoteRefused):
        term("project", 'a" OR status:open OR "')
