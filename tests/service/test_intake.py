"""A line of the event stream leads to an event, or is put aside for people to look at; none is lost without a word."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from support.gerrit_shell import DEADLINE, connection

from zuul_launcher.db import journal, lease
from zuul_launcher.db.engine import connect
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.resolve import Resolver
from zuul_launcher.gerrit.ssh import Commands
from zuul_launcher.model.events import Trigger, Triggered
from zuul_launcher.model.layout import Layout
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.intake import Intake
from zuul_launcher.service.screening import Screening
from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

NOW = 1e9
SECONDS = 60.0
EMPTY = Layout(pipelines={}, jobs={}, projects={})


class Faulty(Resolver):
    """Has a mistake like one of ours, if it is told to."""

    is_broken = False

    def resolve(self, trigger: Trigger, received_at: float) -> Triggered | None:
        if self.is_broken:
            raise KeyError("ours")
        return super().resolve(trigger, received_at)


class Scene:
    """An intake with its resolving thread, on a Gerrit and a database; what is refused is asked for three times."""

    def __init__(self, engine: Engine, gerrit: SimGerrit, commands: Commands) -> None:
        self.engine = engine
        self.gerrit = gerrit
        self.inbox = Inbox()
        self.stopping = threading.Event()
        token = lease.acquire(engine, "the test", NOW, 1e9)
        assert token is not None
        query = Query(commands.run)
        self.resolver = Faulty(
            query, "gerrit", base_url="http://review", clock=lambda: NOW, wait=self.stopping.wait, pauses=()
        )
        self.intake = Intake(
            "gerrit",
            engine,
            token,
            self.inbox,
            query,
            self.resolver,
            Screening(lambda: EMPTY),
            strip_branch_ref=False,
            concerns=lambda project: True,
            measured=lambda measurements: None,
            clock=lambda: NOW,
            stopping=self.stopping,
            refusal_delays=(0.0, 0.0),
        )
        self.thread = threading.Thread(target=self.intake.run)

    def hear(self, change: Pushed) -> bytes:
        """A line about this change comes in."""
        about = {"project": change.project, "branch": "master", "number": int(change.number), "id": change.change_id}
        line = json.dumps(
            {"type": "patchset-created", "change": about, "patchSet": {"number": 1, "ref": "refs/changes/1/1/1"}}
        ).encode()
        self.intake.receive(line)
        return line

    def next_number(self) -> str | None:
        """Of the change that the next event is about."""
        while (envelope := self.inbox.take(SECONDS)) is None:
            pass
        assert isinstance(envelope.event, Triggered)
        return envelope.event.trigger.number

    def finish_asking(self) -> None:
        """Until the resolving thread has done all it was told to."""
        done = threading.Event()
        self.intake.ask(done.set)
        assert done.wait(SECONDS)


@pytest.fixture
def scene(empty_database: bytes, fast_folder: Path, tmp_path: Path) -> Iterator[Scene]:
    path = fast_folder / "zuul.sqlite"
    path.write_bytes(empty_database)
    engine = connect(f"sqlite:///{path}")
    with SimGerrit(tmp_path / "gerrit") as gerrit:
        gerrit.create_project("alpha", {"README": "hello\n"})
        commands = Commands(connection(gerrit, tmp_path), deadline=DEADLINE)
        scene = Scene(engine, gerrit, commands)
        scene.thread.start()
        yield scene
        scene.stopping.set()
        scene.intake.stop()
        scene.thread.join(SECONDS)
        commands.close()
    engine.dispose()


def test_what_gerrit_refuses_in_a_bad_moment_is_asked_for_again(scene: Scene) -> None:
    change = scene.gerrit.push_change("alpha", "master", {"new": "x\n"}, "Add it")
    scene.gerrit.faults.refuse_queries = 2
    scene.hear(change)
    assert scene.next_number() == change.number
    assert scene.intake.put_aside == 0


def test_what_gerrit_goes_on_to_refuse_is_put_aside_and_the_next_event_comes(scene: Scene) -> None:
    change = scene.gerrit.push_change("alpha", "master", {"new": "x\n"}, "Add it")
    other = scene.gerrit.push_change("alpha", "master", {"other": "x\n"}, "Add another")
    scene.gerrit.faults.refuse_queries = 3
    line = scene.hear(change)
    scene.finish_asking()
    scene.hear(other)
    assert scene.next_number() == other.number
    assert scene.intake.put_aside == 1
    (parked,) = journal.all_parked(scene.engine)
    assert (parked.source, parked.payload, parked.at) == ("gerrit:gerrit", line, NOW)
    assert "internal server error" in parked.traceback
    assert [json.loads(one.payload)["change"]["number"] for one in journal.all_received(scene.engine)] == [
        int(other.number)
    ], "a start would try the line that was put aside once more"


def test_a_mistake_of_ours_with_one_line_does_not_end_the_thread(scene: Scene) -> None:
    change = scene.gerrit.push_change("alpha", "master", {"new": "x\n"}, "Add it")
    scene.resolver.is_broken = True
    scene.hear(change)
    scene.finish_asking()
    scene.resolver.is_broken = False
    scene.hear(change)
    assert scene.next_number() == change.number
    (parked,) = journal.all_parked(scene.engine)
    assert "KeyError: 'ours'" in parked.traceback


def test_what_could_not_be_caught_up_is_shown_until_it_could(scene: Scene) -> None:
    change = scene.gerrit.push_change("alpha", "master", {"new": "x\n"}, "Add it")
    scene.gerrit.faults.refuse_queries = 3
    scene.intake.catch_up(0.0)
    scene.finish_asking()
    (complaint,) = scene.intake.complaints
    assert complaint.startswith("gerrit: events since 1970-01-01 ")
    assert "internal server error" in complaint
    later = NOW * 100  # after all that happened: the next loss is a short one
    scene.intake.catch_up(later)
    assert scene.next_number() == change.number, "the events of the earlier loss are taken up, too"
    assert scene.intake.complaints == []
