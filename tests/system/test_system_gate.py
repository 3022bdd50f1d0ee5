"""The main job, with real processes: approved changes are tested in parallel on top of each other, and what passes
lands in order."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.gearman_wire import c_gearmand
from support.system import (
    GATE,
    SHARED_QUEUE,
    Gate,
    Witness,
    expected_builds,
    prepared_gate,
    running_gate,
    seen,
    what_landed_was_tested,
)

from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.worker import Outcome


@dataclass(frozen=True)
class Setup:
    gerrit: str = "stand_in"
    with_gearmand: bool = False
    with_postgresql: bool = False
    mergers: int = 1


SETUPS = [
    pytest.param(Setup(), id="stand-in"),
    pytest.param(Setup(with_gearmand=True), id="gearmand", marks=pytest.mark.gearmand),
    pytest.param(Setup(with_postgresql=True), id="postgresql", marks=pytest.mark.postgresql),
    pytest.param(Setup(mergers=2), id="two-mergers"),
    pytest.param(Setup("real_gerrit"), id="real-gerrit", marks=pytest.mark.gerrit),
    pytest.param(
        Setup("real_gerrit", with_gearmand=True, with_postgresql=True, mergers=2),
        id="real-gerrit-gearmand-postgresql-two-mergers",
        marks=[pytest.mark.gerrit, pytest.mark.gearmand, pytest.mark.postgresql],
    ),
]


@pytest.fixture(params=SETUPS)
def variation(request: pytest.FixtureRequest) -> Setup:
    found: Setup = request.param
    return found


@pytest.fixture
def gate(variation: Setup, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    """Ready, and of the set-up that the test is for."""
    options: dict[str, Any] = {}
    with ExitStack() as parts:
        if variation.with_gearmand:
            options["gearman_port"] = parts.enter_context(c_gearmand()).port
        if variation.with_postgresql:
            options["dburi"] = request.getfixturevalue("postgresql").new_database()
        gerrit: GerritSite = request.getfixturevalue(variation.gerrit)
        jobs = ("unit", "docs")
        yield parts.enter_context(
            running_gate(tmp_path, gerrit, GATE + SHARED_QUEUE, jobs=jobs, mergers=variation.mergers, **options)
        )


def test_eight_changes_of_which_the_fourth_fails(gate: Gate, variation: Setup, tmp_path: Path) -> None:
    changes = []
    for number in range(1, 9):
        files = {f"file{number}": "x\n", **({"broken": "yes\n"} if number == 4 else {})}
        changes.append(gate.push("alpha" if number % 2 else "beta", files))
    fourth = changes[3]
    with Witness(gate) as witness:
        for change in changes:
            gate.approve(change)
        first = expected_builds(changes)
        gate.wait_for_builds(*first)  # all at once: eight items
        assert len(first) == 12

        if variation.mergers == 2:
            assert gate.site.terminate("merger") == 0  # the other one prepares what comes now
        gate.release(fourth)
        ahead = expected_builds(changes[:3])
        again = expected_builds(changes, without=fourth)[len(ahead) :]
        gate.wait_for_builds(*ahead, *again)
        assert len(again) == 6

        gate.worker.release_all()
        passed = [change for change in changes if change != fourth]
        gate.wait_for_status("MERGED", *passed)
        gate.wait_until_idle()

    assert witness.merged == [change.number for change in passed]
    assert gate.gerrit.status(fourth) == "NEW"
    assert gate.gerrit.votes(fourth)["Verified"] == {"zuul": -2}
    history = gate.worker.history
    aborted = expected_builds(changes)[len(ahead) + 1 :]
    assert sorted((*seen(build), build.result) for build in history) == sorted(
        [(*one, "SUCCESS") for one in (*ahead, *again)]
        + [(*one, "ABORTED") for one in aborted]
        + [("unit", *(change.number for change in changes[:4]), "FAILURE")]
    )
    assert [change.id for change in passed if not what_landed_was_tested(gate, change, tmp_path)] == []
    assert gate.complaints() == []


def test_a_result_that_looks_like_options_stays_text(gerrit: GerritSite, tmp_path: Path) -> None:
    text = '" --code-review +2 --submit "'
    with running_gate(tmp_path, gerrit, decide=lambda job, parameters: Outcome(text)) as gate:
        change = gate.propose("alpha", "new")
        gate.worker.release_all()
        said = gate.wait_for_reports(change, 2)
        gate.wait_until_idle()
    assert said == [
        "Starting gate jobs.",
        f"Build failed.\n\n- http://w1.example.net/job/unit/1/ : {text} in 0s",
    ]
    assert gerrit.votes(change) == {"Code-Review": {"ann": 2}, "Verified": {"zuul": -2}}
    assert gerrit.status(change) == "NEW"
    assert gate.complaints() == []


def test_an_unknown_host_key_is_refused_until_its_line_is_added(gerrit: GerritSite, tmp_path: Path) -> None:
    with prepared_gate(tmp_path, gerrit) as gate:
        known_hosts = gate.site.folder / "known_hosts"
        known_hosts.write_text("")
        gate.site.start()
        (error,) = gate.wait_for_errors("no events from Gerrit gerrit: ")
        assert gerrit.known_hosts_line() in error
        assert str(known_hosts) in error
        change = gate.propose("alpha", "new")
        known_hosts.write_text(gerrit.known_hosts_line() + "\n")
        with gate.working():
            gate.wait_until_ready()
            gate.wait_for_builds(("unit", change.number))  # its approval was missed, and caught up
    assert gate.log().count(error.removeprefix("no events from Gerrit gerrit: ")) == 1


def test_queued_changes_are_promoted_and_dequeued(gerrit: GerritSite, tmp_path: Path) -> None:
    with running_gate(tmp_path, gerrit) as gate, Witness(gate) as witness:
        a, b, c = (gate.propose(project, f"file{number}") for number, project in enumerate(("alpha", "beta", "alpha")))
        gate.wait_for_builds(("unit", a.number), ("unit", a.number, b.number), ("unit", a.number, b.number, c.number))
        assert gate.admin("promote", "--pipeline", "gate", "--changes", c.id) == (0, "", "")
        gate.wait_for_builds(("unit", c.number), ("unit", c.number, a.number), ("unit", c.number, a.number, b.number))
        assert gate.admin("dequeue", "--pipeline", "gate", "--project", a.project, "--change", a.id) == (0, "", "")
        gate.wait_for_builds(("unit", c.number), ("unit", c.number, b.number))
        gate.worker.release_all()
        gate.wait_for_status("MERGED", b, c)
        gate.wait_until_idle()
        assert witness.merged == [c.number, b.number]
        assert gerrit.status(a) == "NEW"
        assert gate.reports(a) == ["Starting gate jobs."]
        assert sorted(build.result or "" for build in gate.worker.history) == ["ABORTED"] * 5 + ["SUCCESS"] * 2
    assert gate.complaints() == []
