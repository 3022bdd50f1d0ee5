"""What earlier releases stored can be read. Each writes a sample (support/sample.py) before it is published."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, text
from support import sample

from zuul_launcher.db import history, journal, lease, migrate, outbox
from zuul_launcher.db.engine import connect, reading
from zuul_launcher.model.events import AnyEvent
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.sql"))


@pytest.fixture(params=SAMPLES, ids=lambda path: path.stem)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database of an earlier release, after the start of this one."""
    sample.restore(request.param.read_text(), tmp_path / "zuul.sqlite")
    engine = connect(f"sqlite:///{tmp_path}/zuul.sqlite")
    migrate.create(engine)
    assert lease.acquire(engine, "this release", now=0, duration=10, others_dead=True)
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


def test_there_are_samples() -> None:
    assert SAMPLES


def test_the_state_of_an_earlier_release_is_read(stored: Engine) -> None:
    found = journal.load(stored)
    assert found.snapshot is not None
    state = msgspec.json.decode(found.snapshot.state, type=State)
    assert state.sequence == found.snapshot.sequence


def test_events_and_layouts_of_an_earlier_release_are_read(stored: Engine) -> None:
    with reading(stored) as connection:
        events = list(connection.execute(text("SELECT event FROM journal")).scalars())
        hashes = list(connection.execute(text("SELECT hash FROM layout")).scalars())
    assert events
    assert hashes
    for event in events:
        msgspec.json.decode(event, type=AnyEvent)
    for hash in hashes:
        content = journal.get_layout(stored, hash)
        assert content is not None
        msgspec.json.decode(content, type=Layout)


def test_actions_and_history_of_an_earlier_release_are_read(stored: Engine) -> None:
    assert all(msgspec.json.decode(row.payload) for row in outbox.todo(stored))
    assert history.builds(stored, history.BuildFilter(), limit=100)
    assert history.open_builds(stored)
