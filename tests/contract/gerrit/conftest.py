"""Each test here runs on the stand-in and, marked `gerrit`, on a real Gerrit 3.10."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gerrit_client import GerritClient
from support.real_gerrit import real_gerrit as real_gerrit  # the fixture

from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.gerrit)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GerritSite]:
    if request.param == "real":
        yield request.getfixturevalue("real_gerrit")
    else:
        with SimGerrit(tmp_path / "gerrit") as stand_in:
            yield stand_in


@pytest.fixture
def client(site: GerritSite, tmp_path: Path) -> GerritClient:
    return GerritClient(site, tmp_path / "client")


@pytest.fixture
def project(site: GerritSite) -> str:
    name = f"org/project-{uuid.uuid4().hex[:12]}"
    site.create_project(name, {"README": "hello\n"})
    return name
