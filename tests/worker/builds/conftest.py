"""Builds on this machine, in this process: quick. Tests that need an agent ask for one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.build_world import World, agent


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**others: Any) -> World:
        made.append(World(tmp_path / f"world-{len(made)}", **others))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    return worlds()


@pytest.fixture
def with_agent(worlds: Callable[..., World], tmp_path: Path) -> World:
    """Its node is a process of its own."""
    return worlds(connect=agent(tmp_path / "cache"))
