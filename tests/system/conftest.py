"""Where a system test runs: the stand-in Gerrit or the real one, each Gearman server, a PostgreSQL of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gearman_places import any_server
from support.gearman_wire import Place
from support.postgresql import Cluster, cluster
from support.real_gerrit import real_gerrit as real_gerrit  # the fixture

from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[SimGerrit]:
    with SimGerrit(tmp_path / "gerrit") as site:
        yield site


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.gerrit)])
def gerrit(request: pytest.FixtureRequest) -> GerritSite:
    """The stand-in, then a real Gerrit."""
    found: GerritSite = request.getfixturevalue("stand_in" if request.param == "stand-in" else "real_gerrit")
    return found


@pytest.fixture(params=["ours", pytest.param("gearmand", marks=pytest.mark.gearmand)])
def server(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A Gearman server: the built-in one, then C gearmand."""
    with any_server(request.param) as place:
        yield place


@pytest.fixture
def postgresql() -> Iterator[Cluster]:
    """A server of the test's own, which it may stop and start."""
    with cluster() as server:
        yield server
