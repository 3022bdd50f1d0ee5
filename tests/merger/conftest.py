"""A merger with a GIT_DIR of its own, and projects at a git server that is a folder."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.git_world import Files, Upstream

from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.settings import MergerSettings
from zuul_launcher.merger.worker import answer

ZUUL_URL = "http://merger.example.org/p"


@pytest.fixture
def settings(tmp_path: Path) -> MergerSettings:
    return MergerSettings(
        git_dir=tmp_path / "git",
        zuul_url=ZUUL_URL,
        gearman_server="127.0.0.1",
        git_timeout=60,
        environment=os.environ,
        allow_file=True,
    )


@pytest.fixture
def merger(settings: MergerSettings) -> Iterator[Merger]:
    merger = Merger(settings)
    yield merger
    merger.close()


@pytest.fixture
def upstream(tmp_path: Path) -> Callable[..., Upstream]:
    def make(name: str = "org/project", files: Files | None = None) -> Upstream:
        return Upstream(tmp_path / "upstream", name, files)

    return make


@pytest.fixture
def ask(merger: Merger) -> Callable[..., Any]:
    """Ask for items to be merged, as the scheduler does, and give the reply."""

    def ask(*items: dict[str, Any], mode: int | None = None) -> Any:
        chain = [{**item, "merge_mode": mode or item["merge_mode"]} for item in items]
        return json.loads(answer(merger, "merger:merge", json.dumps({"items": chain}).encode()))

    return ask
