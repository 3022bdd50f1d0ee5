"""A Gerrit for each test: the stand-in over real SSH, and for tests marked so also the real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gerrit_shell import DEADLINE, Proxy, connection
from support.real_gerrit import real_gerrit as real_gerrit  # the fixture

from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.ssh import Commands
from zuul_launcher.settings import GerritConnection
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SimGerrit]:
    with SimGerrit(tmp_path / "site") as site:
        yield site


@pytest.fixture
def settings(site: SimGerrit, tmp_path: Path) -> GerritConnection:
    return connection(site, tmp_path)


@pytest.fixture
def commands(settings: GerritConnection) -> Iterator[Commands]:
    commands = Commands(settings, deadline=DEADLINE)
    yield commands
    commands.close()


@pytest.fixture
def query(commands: Commands) -> Query:
    return Query(commands.run)


@pytest.fixture
def proxy(site: SimGerrit) -> Iterator[Proxy]:
    proxy = Proxy(site.port)
    yield proxy
    proxy.close()
