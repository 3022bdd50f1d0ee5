"""Every Gearman server that a manager is to work with, and one that only writes down."""

from collections.abc import Iterator

import pytest
from support.gearman_places import any_server
from support.gearman_wire import Place
from support.queue_world import ScriptedServer

SERVERS = ["ours", "gear", pytest.param("gearmand", marks=pytest.mark.gearmand)]


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A fresh server: ours, gear's, then C gearmand."""
    with any_server(request.param) as found:
        yield found


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    """A server whose part the test plays."""
    found = ScriptedServer()
    yield found
    found.close()
