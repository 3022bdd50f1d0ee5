"""Builds with the memory of the real manager: numbers, results and descriptions outlive it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from support.build_world import World, job

from zuul_launcher.db import migrate
from zuul_launcher.db.engine import connect
from zuul_launcher.worker.history.history import SqlHistory


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path}/worker.sqlite")
    migrate.upgrade_worker(engine)
    yield engine
    engine.dispose()


def test_the_next_manager_goes_on_with_numbers_and_stored_results(
    worlds: Callable[..., World], database: Engine
) -> None:
    """D44, D56, D68, D69."""
    first = worlds(history=SqlHistory(database))
    first.define(job("exit 1"))
    told = first.assign(payload={"P": ["nested", None]}, unique="u1")
    told.end()
    first.builds.describe("unit", "1", "<b>seen</b>")
    first.close()

    second = worlds(history=SqlHistory(database))
    second.define(job("exit 0"))
    again = second.assign(unique="u1")
    again.end()
    assert again.wait_for("complete") == told.wait_for("complete")
    assert second.assign(unique="u2").end()["number"] == 2
    assert second.builds.wait(60)
    assert second.builds.stop("unit", "1") == "finished"
    assert second.builds.stop("", "", "u2") == "finished"
    record = second.history.find("unit", 1)
    assert record is not None
    assert (record.result, record.description, record.parameters) == ("FAILURE", "<b>seen</b>", {"P": ["nested", None]})


def test_many_builds_at_once_have_numbers_of_their_own(worlds: Callable[..., World], database: Engine) -> None:
    """D44."""
    world = worlds(history=SqlHistory(database))
    world.define(job("#!/bin/sh\necho $BUILD_NUMBER"))
    clients = [world.assign(index=number) for number in range(12)]
    ends = [client.end() for client in clients]
    assert sorted(end["number"] for end in ends) == list(range(1, 13))
    for number in range(1, 13):
        assert f"{number}\n" in world.console(number=number)
