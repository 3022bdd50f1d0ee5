"""An outlet delivers in order, waits for what is away, and keeps what was settled until the table says so."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, select

from zuul_launcher.db import journal, lease, outbox, tables
from zuul_launcher.db.engine import connect, reading
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.model.actions import Verdict
from zuul_launcher.model.change import Tick
from zuul_launcher.model.events import ItemRefused
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.outlet import DELAYS, IDLE, MOST_FAULTS, Delivered, Delivery, Outlet
from zuul_launcher.service.payload import GEARMAN, CancelPayload, LaunchPayload, ReportPayload

NOW = 100.0


class Target:
    """Takes deliveries, if it is not away, and remembers them."""

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.away = False
        self.faults: dict[str, int] = {}  # build -> how often a mistake of ours is met yet
        self.answer = Delivered.DONE

    def perform(self, delivery: Delivery) -> Delivered:
        self.taken.append(delivery)
        if self.away:
            raise RemoteUnavailable("away")
        build = getattr(delivery.payload, "build", "")
        if self.faults.get(build, 0):
            self.faults[build] -= 1
            raise KeyError("ours")
        return self.answer

    def builds(self) -> list[str]:
        return [delivery.payload.build for delivery in self.taken if isinstance(delivery.payload, CancelPayload)]


class Scene:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        token = lease.acquire(engine, "the test", NOW, 1e9)
        assert token is not None
        self.token = token
        self.now = NOW
        self.target = Target()
        self.inbox = Inbox()
        self.outlet = self.new_outlet()

    def new_outlet(self) -> Outlet:
        outlet = Outlet(self.engine, self.token, GEARMAN, lambda: self.now, self.inbox)
        outlet.perform = self.target.perform
        return outlet

    def ask(self, *builds: str) -> None:
        self.store(
            *(("Cancel", "i", msgspec.json.encode(CancelPayload(item="i", attempt=1, build=name))) for name in builds)
        )

    def store(self, *asked: tuple[str, str, bytes]) -> None:
        """Rows of these kinds, items and payloads."""
        rows = [outbox.NewRow(kind=kind, target=GEARMAN, key=item, payload=payload) for kind, item, payload in asked]
        step = journal.Step(sequence=1, at=NOW, event=b"{}", actions_hash="", layout="", rows=rows)
        journal.commit(self.engine, self.token, step)

    def turn_until_idle(self) -> None:
        while (pause := self.outlet.turn()) != IDLE:
            self.now += pause

    def errors(self) -> list[str | None]:
        """What is stored with the rows that failed."""
        with reading(self.engine) as connection:
            failed = select(tables.outbox.c.error).where(tables.outbox.c.status == "failed")
            return list(connection.execute(failed).scalars())


@pytest.fixture
def scene(empty_database: bytes, fast_folder: Path) -> Iterator[Scene]:
    path = fast_folder / "zuul.sqlite"
    path.write_bytes(empty_database)
    engine = connect(f"sqlite:///{path}")
    yield Scene(engine)
    engine.dispose()


def test_rows_are_delivered_in_order_and_once(scene: Scene) -> None:
    scene.ask("a", "b", "c")
    scene.outlet.turn()
    scene.outlet.turn()
    assert scene.target.builds() == ["a", "b", "c"]
    assert all(delivery.first and delivery.since == NOW for delivery in scene.target.taken)
    assert outbox.pending(scene.engine) == 0


def test_one_that_cannot_be_delivered_holds_up_those_behind_it(scene: Scene) -> None:
    scene.ask("a", "b")
    scene.target.away = True
    assert scene.outlet.turn() == DELAYS[0]
    assert scene.target.builds() == ["a"]
    scene.target.away = False
    assert scene.outlet.turn() == DELAYS[0], "not before its time"
    assert scene.target.builds() == ["a"]
    scene.now += DELAYS[0]
    scene.outlet.turn()
    assert scene.target.builds() == ["a", "a", "b"]
    again = scene.target.taken[1]
    assert (again.first, again.since) == (False, NOW)


def test_what_an_answer_follows_is_not_delivered_again_but_by_the_next_process(scene: Scene) -> None:
    scene.ask("a")
    scene.target.answer = Delivered.ANSWER_FOLLOWS
    scene.outlet.turn()
    scene.outlet.turn()
    assert scene.target.builds() == ["a"]
    assert outbox.pending(scene.engine) == 1
    scene.new_outlet().turn()
    assert scene.target.builds() == ["a", "a"]
    assert not scene.target.taken[-1].first


def test_what_was_settled_is_closed_at_the_next_turn(scene: Scene) -> None:
    scene.ask("a")
    scene.target.answer = Delivered.ANSWER_FOLLOWS
    scene.outlet.turn()
    scene.outlet.settle(scene.target.taken[0].row)
    assert scene.outlet.awake.is_set()
    scene.outlet.turn()
    assert outbox.pending(scene.engine) == 0


def test_launches_that_are_still_to_be_delivered_are_told(scene: Scene) -> None:
    scene.store(("Launch", "i", launch("x")), ("Launch", "j", b"\xff"))
    assert scene.outlet.launching() == {"x"}


def launch(build: str) -> bytes:
    payload = LaunchPayload(
        item="i",
        attempt=1,
        build=build,
        job="unit",
        parameters={},
        parameter_function=None,
        context={},
        precedence="high",
        layout="",
    )
    return msgspec.json.encode(payload)


def report(verdict: Verdict) -> bytes:
    tick = Tick(connection="gerrit", project="alpha")
    payload = ReportPayload(item="r", attempt=1, verdict=verdict, subject=tick, message="", reporters=(), submit=False)
    return msgspec.json.encode(payload)


def test_a_mistake_of_ours_that_passes_costs_nothing(scene: Scene) -> None:
    scene.target.faults["a"] = MOST_FAULTS - 1
    scene.ask("a", "b")
    scene.turn_until_idle()
    assert scene.target.builds() == ["a", "a", "a", "b"]
    assert outbox.pending(scene.engine) == 0
    assert (scene.errors(), scene.outlet.given_up) == ([], 0)


def test_what_nobody_waits_for_is_given_up_and_those_behind_it_go_on(scene: Scene) -> None:
    scene.target.faults["a"] = 1000
    scene.ask("a", "b")
    scene.turn_until_idle()
    assert scene.target.builds() == ["a"] * MOST_FAULTS + ["b"]
    assert outbox.pending(scene.engine) == 0
    assert (scene.errors(), scene.outlet.given_up) == (["KeyError: 'ours'"], 1)
    assert scene.inbox.take(0) is None


@pytest.mark.parametrize(
    ("kind", "payload"), [("Launch", launch("x")), ("Launch", b"\xff"), ("Report", report("success")), ("New", b"{}")]
)
def test_an_item_that_waits_for_what_is_given_up_is_refused(scene: Scene, kind: str, payload: bytes) -> None:
    scene.target.faults.update({"x": 1000, "": 1000})
    scene.store((kind, "thing", payload))
    scene.turn_until_idle()
    envelopes = [scene.inbox.take(0), scene.inbox.take(0)]
    (envelope,) = filter(None, envelopes)  # the other one wakes the loop
    assert isinstance(envelope.event, ItemRefused)
    assert envelope.event.item == "thing"
    assert envelope.event.reason.startswith(f"{kind}: ")
    (finished,) = envelope.finished
    assert finished.error is not None
    scene.outlet.turn()
    assert scene.outlet.given_up == 1, "it is not begun anew while the loop has not answered"


def test_nobody_waits_for_a_start_to_be_told(scene: Scene) -> None:
    scene.target.faults[""] = 1000
    scene.store(("Report", "thing", report("start")))
    scene.turn_until_idle()
    assert scene.inbox.take(0) is None
    assert scene.outlet.given_up == 1
    assert outbox.pending(scene.engine) == 0


def test_whoever_lost_the_lease_says_so_at_once(scene: Scene) -> None:
    def perform(delivery: Delivery) -> Delivered:
        raise lease.Fenced("taken over")

    scene.outlet.perform = perform
    scene.ask("a")
    with pytest.raises(lease.Fenced):
        scene.outlet.turn()
