"""What only the stand-in does: other versions' dialects, faults on demand, life as a process."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gerrit_client import DEADLINE, GerritClient

from zuul_launcher.sim.gerrit.commandline import split
from zuul_launcher.sim.gerrit.dialect import Dialect
from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

PROJECT = "org/project"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SimGerrit]:
    with SimGerrit(tmp_path / "gerrit") as site:
        site.create_project(PROJECT, {"README": "hello\n"})
        yield site


@pytest.fixture
def client(site: SimGerrit, tmp_path: Path) -> GerritClient:
    return GerritClient(site, tmp_path / "client")


def push(site: SimGerrit, name: str = "a") -> Pushed:
    return site.push_change(PROJECT, "master", {name: f"{name}\n"}, f"Add {name}")


def test_an_old_gerrit_says_numbers_as_text_and_branches_by_short_names(tmp_path: Path) -> None:
    dialect = Dialect(version="2.8.4-15-g1234", numbers_as_text=True, short_ref_names=True)
    with SimGerrit(tmp_path / "gerrit", dialect=dialect) as site:
        site.create_project(PROJECT)
        client = GerritClient(site, tmp_path / "client")
        assert client.run("gerrit version").stdout == "gerrit version 2.8.4-15-g1234\n"
        with client.watch(PROJECT) as watcher:
            change = push(site)
            event = watcher.until_type("patchset-created")
            assert (event["change"]["number"], event["patchSet"]["number"]) == ("1", "1")
            site.merge_by_hand(change)
            merged = watcher.until(lambda event: event["type"] == "change-merged")
        assert [event["refUpdate"]["refName"] for event in merged if event["type"] == "ref-updated"] == ["master"]


def test_an_old_gerrit_pages_by_sort_key(tmp_path: Path) -> None:
    dialect = Dialect(sort_keys=True, query_limit=3)
    with SimGerrit(tmp_path / "gerrit", dialect=dialect) as site:
        site.create_project(PROJECT)
        client = GerritClient(site, tmp_path / "client")
        pushed = [push(site, name).number for name in "abcde"]
        seen: list[str] = []
        sizes = []
        key = ""
        while not sizes or sizes[-1]:
            *rows, statistics = client.query(f"project:{PROJECT} {key}")
            assert "moreChanges" not in statistics
            sizes.append(len(rows))
            seen += [str(row["number"]) for row in rows]
            key = f"resume_sortkey:'{rows[-1]['sortKey']}'" if rows else key
        assert (sizes, seen) == ([3, 2, 0], pushed[::-1])


def test_dropped_streams_end_and_what_happens_meanwhile_is_lost(site: SimGerrit, client: GerritClient) -> None:
    with client.watch(PROJECT) as watcher:
        assert site.drop_streams() == 1
        assert watcher.has_ended()
    lost = push(site)
    with client.watch(PROJECT) as watcher:
        push(site, "b")
        event = watcher.until_type("patchset-created")
    assert event["change"]["number"] == int(lost.number) + 1


def test_nobody_logs_in_while_logins_are_refused(site: SimGerrit, client: GerritClient) -> None:
    site.faults.refuse_logins = True
    refused = client.run("gerrit version")
    assert (refused.returncode, "Permission denied (publickey)" in refused.stderr) == (255, True)
    site.faults.refuse_logins = False
    assert client.run("gerrit version").returncode == 0


def test_a_key_of_somebody_else_is_refused(site: SimGerrit, client: GerritClient) -> None:
    site.key_file("zuul").unlink()
    site.key_file("zuul").symlink_to(site.key_file("ann"))
    assert client.run("gerrit version").returncode == 255


def test_answers_stall_until_they_are_let_go(site: SimGerrit, client: GerritClient) -> None:
    site.faults.answering.clear()
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(client.run("gerrit version").returncode))
    asking.start()
    asking.join(0.5)
    assert answers == []
    site.faults.answering.set()
    asking.join(DEADLINE)
    assert answers == [0]
    assert site.faults.said == ["zuul: gerrit version"]


def test_a_submit_may_be_done_though_nobody_hears_of_it(site: SimGerrit, client: GerritClient) -> None:
    change = push(site)
    site.vote(change, "Code-Review", 2)
    site.faults.lose_answer_after_review = True
    command = f"gerrit review --project {PROJECT} --label Verified=2 --submit {change.id}"
    assert client.run(command).returncode == 255
    assert site.status(change) == "MERGED"
    again = client.run(command)
    assert (again.returncode, "change is merged" in again.stderr) == (1, True)


def test_a_submit_can_be_made_to_fail(site: SimGerrit, client: GerritClient) -> None:
    change = push(site)
    site.vote(change, "Code-Review", 2)
    site.refuse_submit(change)
    refused = client.review(PROJECT, change.id, "--label Verified=2 --submit")
    assert "path conflict" in refused
    assert site.status(change) == "NEW"


def test_stopping_ends_every_thread_and_connection(tmp_path: Path) -> None:
    before = threading.active_count()
    site = SimGerrit(tmp_path / "gerrit")
    with site:
        site.create_project(PROJECT)
        client = GerritClient(site, tmp_path / "client")
        with client.watch(PROJECT) as watcher:
            site.stop()
            assert watcher.has_ended()
    assert threading.active_count() == before


def test_a_project_name_never_leaves_the_directory(site: SimGerrit, client: GerritClient, tmp_path: Path) -> None:
    outside = tmp_path / "gerrit" / "secret.git"
    outside.mkdir()
    for name in ("../secret", "/../secret", "org/../../secret", f"{outside}"):
        refused = client.run(f"git-upload-pack '{name}'")
        assert (refused.returncode, "not found" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  a \t b ", ["a", "b"]),
        ("a ''  \"\" b", ["a", "b"]),
        ("'a b", ["a b"]),
        ("a\\", ["a\\"]),
        ("'\\'", ["\\"]),
        ('"\\""', ['"']),
        ("a\nb", ["a\nb"]),
    ],
)
def test_a_line_is_split_into_words(line: str, words: list[str]) -> None:
    assert split(line) == words


def test_as_a_process_it_serves_people_over_ssh_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zuul_launcher.sim.gerrit", "--dir", str(tmp_path / "gerrit")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            (tmp_path / "known_hosts").write_text(ready["known_hosts_line"] + "\n")
            ssh = ["ssh", "-F", os.devnull, "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={tmp_path}/known_hosts"]
            ssh += ["-i", ready["keys"]["admin"], "-p", str(ready["port"]), f"admin@{ready['host']}"]
            for line, answer in {
                f"gerrit create-project --empty-commit {PROJECT}": "",
                "gerrit ls-projects": f"{PROJECT}\n",
            }.items():
                finished = subprocess.run([*ssh, line], capture_output=True, text=True, timeout=DEADLINE, check=True)
                assert finished.stdout == answer
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
