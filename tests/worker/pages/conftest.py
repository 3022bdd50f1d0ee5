"""A desk of builds, and its pages on a port."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.build_records import EPOCH
from support.build_site import Site
from support.build_view import Desk

from zuul_launcher.web.serve import Page
from zuul_launcher.worker.pages.app import make_app


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def site(desk: Desk) -> Iterator[Site]:
    with Page(make_app(desk, clock=lambda: EPOCH + 100)) as page:
        yield Site(desk, page)
