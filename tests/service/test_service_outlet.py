"""An outlet delivers in order, waits for what is away, and keeps what was settled until the table says so."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from zuul_launcher.db import journal, lease, outbox
from zuul_launcher.db.engine import connect
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.service.outlet import DELAYS, Delivered, Delivery, Outlet
from zuul_launcher.service.payload import GEARMAN, CancelPayload, LaunchPayload

NOW = 100.0


class Target:
    """Takes deliveries, if it is not away, and remembers them."""

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.away = False
        self.answer = Delivered.DONE

    def perform(self, delivery: Delivery) -> Delivered:
        self.taken.append(delivery)
        if self.away:
            raise RemoteUnavailable("away")
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
        self.outlet = self.new_outlet()

    def new_outlet(self) -> Outlet:
        outlet = Outlet(self.engine, self.token, GEARMAN, lambda: self.now)
        outlet.perform = self.target.perform
        return outlet

    def ask(self, *builds: str) -> None:
        rows = [
            outbox.NewRow(
                kind="Cancel",
                target=GEARMAN,
                key="i",
                payload=msgspec.json.encode(CancelPayload(item="i", attempt=1, build=build)),
            )
            for build in builds
        ]
        step = journal.Step(sequence=1, at=NOW, event=b"{}", actions_hash="", layout="", rows=rows)
        journal.commit(self.engine, self.token, step)


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
    launch = LaunchPayload(
        item="i",
        attempt=1,
        build="x",
        job="unit",
        parameters={},
        parameter_function=None,
        context={},
        precedence="high",
        layout="",
    )
    row = outbox.NewRow(kind="Launch", target=GEARMAN, key="i", payload=msgspec.json.encode(launch))
    step = journal.Step(sequence=1, at=NOW, event=b"{}", actions_hash="", layout="", rows=[row])
    journal.commit(scene.engine, scene.token, step)
    assert scene.outlet.launching() == {"x"}
