"""Servers to talk to: ours in a thread, and C gearmand where it is installed."""

from collections.abc import Iterator

import pytest
from support.gearman_wire import Place, c_gearmand, our_server


@pytest.fixture
def ours() -> Iterator[Place]:
    """Our server, fresh."""
    with our_server() as place:
        yield place


@pytest.fixture(params=["ours", pytest.param("gearmand", marks=pytest.mark.gearmand)])
def either(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A fresh server: ours, then C gearmand."""
    with our_server() if request.param == "ours" else c_gearmand() as place:
        yield place
