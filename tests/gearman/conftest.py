"""Every Gearman server that the launcher is to work with, one after the other."""

import socket
from collections.abc import Iterator

import pytest
from support.gearman_places import Launcher, Proxy, any_server
from support.gearman_wire import Place

SERVERS = ["ours", "gear", pytest.param("gearmand", marks=pytest.mark.gearmand)]


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A fresh server: ours, gear's, then C gearmand."""
    with any_server(request.param) as found:
        yield found


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    """The way to it, which can be cut."""
    way = Proxy(place.port)
    yield way
    way.close()


@pytest.fixture
def launcher(proxy: Proxy) -> Iterator[Launcher]:
    """A launcher that is connected through the proxy. At the end nothing may be posted that no test expected."""
    found = Launcher(proxy.port)
    found.connected()
    yield found
    found.close()


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
