"""A world with a merger for each test."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cloner_world import World

from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.settings import MergerSettings


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    merger = Merger(
        MergerSettings(
            git_dir=tmp_path / "git",
            zuul_url="http://merger.example.org/p",
            gearman_server="127.0.0.1",
            git_timeout=60,
            environment=os.environ,
            allow_file=True,
        )
    )
    yield World(tmp_path, merger)
    merger.close()


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """The command sends all records of the process to its own stderr: afterwards they go where they went."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
