"""From Gerrit to builds and back, with real managers: two hosts build for one gate, and one of them is lost meanwhile.

The hosts are network namespaces where those can be made; other set-ups run both managers on this one, under two names.
What is to be built waits in its step until a file says go, so the order of everything is the test's to decide.
"""

import getpass
import json
import os
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from support import hosts, kill
from support.gearman_wire import c_gearmand
from support.ssh_server import ssh_server
from support.system import (
    GATE,
    SHARED_QUEUE,
    Gate,
    Witness,
    expected_builds,
    git,
    landing,
    numbers_in,
    prepared_gate,
)
from support.waiting import wait_until
from support.worker_site import WorkerSite

from zuul_launcher.db import history
from zuul_launcher.db.history import BuildFilter, BuildRow
from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

JOBS = """\
defaults:
  scm: {{git: {{}}}}
  publish: [{{artifacts: {{paths: [tree]}}}}]
jobs:
  - name: unit
    steps:
      - &check
        shell: |
          #!/bin/sh -ex
          git rev-parse 'HEAD^{{tree}}' > tree
          until [ -e {folder}/go ] || [ -e {folder}/go-$ZUUL_CHANGE ]; do sleep 0.2; done
          sh check.sh
  - name: docs
    steps: [*check]
"""
FAR_LAYOUT = """\
projects:
  - name: $alpha
    gate: [unit, far]
"""
FAR_JOBS = """\
defaults:
  scm: {git: {}}
jobs:
  - name: unit
    node: built-in
    steps: [{shell: sh check.sh}]
  - name: far
    node: far
    steps:
      - shell: |
          #!/bin/sh -ex
          sh check.sh
          pwd
          echo "${SSH_CONNECTION}"
          mkdir log
          cp new log
          cat >result.xml <<end
          <testsuite name="far" tests="3" skipped="1">
            <testcase name="a"/><testcase name="b"/><testcase name="c"><skipped/></testcase>
          </testsuite>
          end
    publish:
      - artifacts: {paths: ["log/**"]}
      - junit: {paths: ["*.xml"]}
"""
FIRST, SECOND = 6, 12  # executors; the second manager can take all that there is to build


@dataclass(frozen=True)
class Setup:
    gerrit: str = "stand_in"
    with_gearmand: bool = False
    on_two_hosts: bool = False


SETUPS = [
    pytest.param(Setup(on_two_hosts=True), id="two-hosts"),
    pytest.param(Setup(with_gearmand=True), id="gearmand-two-names", marks=pytest.mark.gearmand),
    pytest.param(Setup("real_gerrit"), id="real-gerrit-two-names", marks=pytest.mark.gerrit),
    pytest.param(
        Setup("real_gerrit", with_gearmand=True, on_two_hosts=True),
        id="real-gerrit-gearmand-two-hosts",
        marks=[pytest.mark.gerrit, pytest.mark.gearmand],
    ),
]


@dataclass(frozen=True)
class Place:
    """A gate that is ready, and two managers that are not started."""

    gate: Gate
    first: WorkerSite
    second: WorkerSite
    engine: Engine  # of the scheduler's database
    folder: Path

    def go(self, change: Pushed | None = None) -> None:
        """Let the builds of this change go on, or all."""
        (self.folder / ("go" if change is None else f"go-{change.number}")).touch()

    def rows(self, **which: Any) -> list[BuildRow]:
        return history.builds(self.engine, BuildFilter(**which), 200)

    def running(self) -> list[tuple[str, ...]]:
        """What the scheduler knows of builds under way: manager, job, numbers of the changes."""
        return sorted((row.manager or "", *seen(row)) for row in self.rows(open=True))

    def wait_for_builds(self, expected: Sequence[tuple[str, ...]], *managers: str) -> None:
        """Until exactly these (job, numbers of the changes) are under way, each at one of the managers."""

        def found() -> bool:
            running = self.running()
            builds = sorted(tuple(build) for _, *build in running)
            return builds == sorted(expected) and {manager for manager, *_ in running} <= set(managers)

        try:
            wait_until(found, what="builds")
        except AssertionError as error:
            raise AssertionError(f"running: {self.running()}, not {expected} on {managers}") from error


def seen(row: BuildRow) -> tuple[str, ...]:
    """Job, numbers of all changes; before it was submitted, the job alone."""
    return row.job, *(numbers_in(json.loads(row.parameters)) if row.parameters else ())


@pytest.fixture(params=SETUPS)
def setup(request: pytest.FixtureRequest) -> Setup:
    found: Setup = request.param
    return found


@pytest.fixture
def place(setup: Setup, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as parts:
        both = [hosts.LOOPBACK, hosts.LOOPBACK]
        if setup.on_two_hosts:
            try:
                both = parts.enter_context(hosts.hosts(2))
            except hosts.NoHosts as reason:
                pytest.skip(f"no network namespaces, see the set-ups with two names: {reason}")
        options: dict[str, Any] = {"address": both[0].outside}
        if setup.with_gearmand:
            options["gearman_port"] = parts.enter_context(c_gearmand(both[0].outside)).port
        gerrit = request.getfixturevalue(setup.gerrit)
        gate = parts.enter_context(prepared_gate(tmp_path, gerrit, GATE + SHARED_QUEUE, **options))
        gate.site.start()
        gate.wait_until_ready()
        first, second = (
            WorkerSite(
                tmp_path / name,
                gate.site.gearman_port,
                JOBS.format(folder=tmp_path),
                name=name,
                options=f"executors = {executors}",
                host=host,
            )
            for name, executors, host in zip(("w1", "w2"), (FIRST, SECOND), both, strict=True)
        )
        engine = parts.enter_context(kill.stored(gate))
        yield Place(gate, first, second, engine, tmp_path)


def processes_of(site: WorkerSite) -> dict[int, str]:
    """What runs in workspaces of a manager, or with a cookie of its builds: process id, name of the build."""
    own = os.fsencode(site.folder) + b"/"
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "environ").read_bytes().split(b"\0")
            place = os.fsencode((process / "cwd").readlink()) + b"/"
        except OSError:
            continue
        variables = dict(word.partition(b"=")[::2] for word in words)
        if place.startswith(own) or (b"BUILD_COOKIE" in variables and variables[b"WORKSPACE"].startswith(own)):
            found[int(process.name)] = variables.get(b"BUILD_TAG", b"").decode()
    return found


def page(url: str | None) -> str:
    assert url is not None
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def rows_are_whole(place: Place) -> None:
    """Each build has ended, and has a page at the manager that ran it last."""
    sites = {site.name: site for site in (place.first, place.second)}
    for row in place.rows():
        assert not row.open
        assert row.url == f"{sites[row.manager or ''].url}/job/{row.job}/{row.number}/"
        if row.manager == "w2":
            shown = json.loads(page(f"{row.url}api/json"))
            assert (shown["uuid"], shown["params"]["ZUUL_CHANGE"]) == (row.uuid, row.change)


def what_landed_was_tested(place: Place, change: Pushed) -> bool:
    """Did all builds that passed have the very tree that the branch had when the change had landed?"""
    rows = place.rows(change=change.number, result="SUCCESS")
    tested = {page(f"{row.url}artifact/tree").strip() for row in rows}
    repository = place.gate.gerrit.repository(change.project)
    return tested == {git(repository, "rev-parse", f"{landing(repository, change)}^{{tree}}")}


def lose_first(place: Place, setup: Setup) -> int:
    """Kill the first manager. Its builds are run again by the second one; how many those are."""
    every = [tuple(build) for _, *build in place.running()]
    before = {seen(row): row for row in place.rows() if row.manager == "w1"}
    tags = {f"jenkins-{row.job}-{row.number}" for row in before.values()}
    wait_until(lambda: set(processes_of(place.first).values()) == tags, what="steps on the first host")
    place.first.kill()
    wait_until(lambda: not processes_of(place.first), what="the end of all that ran there")
    place.wait_for_builds(every, "w2")
    again = {seen(row): row for row in place.rows(open=True)}
    for build, row in before.items():
        if setup.with_gearmand:  # it gives the same build to another worker, and tells nobody
            assert (again[build].uuid, again[build].tries) == (row.uuid, 1)
        else:
            assert (again[build].uuid != row.uuid, again[build].tries) == (True, 2)
    return len(before)


def the_failure_is_told(place: Place, change: Pushed) -> None:
    """With the address of a page that opens."""
    _, said = place.gate.reports(change)
    row = place.rows(change=change.number)[0]
    assert said == f"Build failed.\n\n- {row.url} : FAILURE in 0s"
    assert "FAILURE" in page(row.url)
    assert "\n+ sh check.sh\n" in page(f"{row.url}consoleText")
    assert place.gate.gerrit.status(change) == "NEW"
    assert place.gate.gerrit.votes(change)["Verified"] == {"zuul": -2}


def test_builds_of_a_lost_host_run_again_on_the_other_one(place: Place, setup: Setup) -> None:
    gate, first, second = place.gate, place.first, place.second
    changes = []
    for number in range(1, 9):
        files = {f"file{number}": "x\n", **({"broken": "yes\n"} if number == 4 else {})}
        changes.append(gate.push("alpha" if number % 2 else "beta", files))
    fourth = changes[3]
    passed = [change for change in changes if change != fourth]
    ahead, behind = expected_builds(changes[:3]), expected_builds(passed)[5:]

    with first, Witness(gate) as witness:
        for change in changes[:2]:
            gate.approve(change)
        place.wait_for_builds(expected_builds(changes[:2]), "w1")
        with second:
            for change in changes[2:]:
                gate.approve(change)  # more than the first manager has executors for
            place.wait_for_builds(expected_builds(changes), "w1", "w2")
            lost = lose_first(place, setup)
            assert 3 <= lost <= FIRST

            place.go(fourth)
            place.wait_for_builds([*ahead, *behind], "w2")  # of those that tested the fourth none is left
            place.go()
            gate.wait_for_status("MERGED", *passed)
            gate.wait_until_idle()
            rows_are_whole(place)
            assert [change.id for change in passed if not what_landed_was_tested(place, change)] == []
            the_failure_is_told(place, fourth)

    assert witness.merged == [change.number for change in passed]
    assert not processes_of(first)
    assert not processes_of(second)
    kill.nothing_is_left_over(gate)
    runs_without_result = 0 if setup.with_gearmand else lost
    aborted = len(expected_builds(changes)) - len(ahead) - 1
    ends = {None: runs_without_result, "SUCCESS": len(ahead) + len(behind), "FAILURE": 1, "CANCELED": aborted}
    assert Counter(row.result for row in place.rows()) == Counter(ends)
    warnings = gate.complaints()
    assert len(warnings) == runs_without_result, warnings
    assert all(warning.endswith("the build's worker failed or lost its connection") for warning in warnings)


@pytest.mark.sshd
def test_a_job_of_another_node_runs_there_over_ssh_and_its_page_has_what_it_made(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    with ssh_server(tmp_path) as server, prepared_gate(tmp_path, stand_in, GATE + FAR_LAYOUT) as gate:
        far = {"host": "127.0.0.1", "port": server.port, "user": getpass.getuser(), "key": str(server.user_key)}
        far |= {"name": "far", "host_key": server.host_key, "python": sys.executable, "root": str(tmp_path / "far")}
        nodes = tmp_path / "nodes.yaml"
        nodes.write_text(json.dumps({"nodes": [{"name": "built-in"}, far]}))
        gate.site.start()
        gate.wait_until_ready()
        with (
            WorkerSite(tmp_path / "w1", gate.site.gearman_port, FAR_JOBS, name="w1", options=f"nodes = {nodes}"),
            kill.stored(gate) as engine,
        ):
            change = gate.propose("alpha", "new")
            gate.wait_for_status("MERGED", change)
            gate.wait_until_idle()
            rows = {row.job: row for row in history.builds(engine, BuildFilter(), 9)}
            assert {job: (row.node_name, row.result) for job, row in rows.items()} == {
                "unit": ("built-in", "SUCCESS"),
                "far": ("far", "SUCCESS"),
            }
            url = rows["far"].url
            assert f" {server.port}\n" in page(f"{url}consoleText")
            assert str(tmp_path / "far") in page(f"{url}consoleText")
            assert page(f"{url}artifact/log/new") == "x\n"
            shown = json.loads(page(f"{url}api/json"))
            assert shown["artifacts"] == [{"path": "log/new", "size": 2}]
            assert (shown["node_name"], shown["tests"]["tests"], shown["tests"]["skipped"]) == ("far", 3, 1)
            seen_by_people = page(url)
            assert "0 of 3 failed, 1 skipped" in seen_by_people
            assert 'href="artifact/log/"' in seen_by_people
    assert gate.complaints() == []
