"""One real Gerrit for all workers of a test run: the fixture `real_gerrit`, for tests marked `gerrit`.

The first worker that needs it starts a keeper: this file, run as a program. Every worker holds a shared lock while its
session lasts; the keeper waits for the exclusive one, so it ends Gerrit when the last worker has gone, however it went.
Use it with `pytest_plugins = ["support.real_gerrit"]`, and take project names that nobody else takes.
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zuul_launcher.sim.gerrit.real import RealGerrit
from zuul_launcher.sim.gerrit.real_process import RealGerritProcess

ARTIFACTS = Path(__file__).parents[2] / ".services" / "gerrit"


def is_installed() -> bool:
    """Whether tools/gerrit/fetch.sh has brought what is needed."""
    return (ARTIFACTS / "complete").exists()


@pytest.fixture(scope="session")
def real_gerrit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGerrit]:
    """A Gerrit 3.10 with the people of `site.PEOPLE`, shared by all tests of the run."""
    assert is_installed(), "run tools/gerrit/fetch.sh, or do not mark the test"
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real-gerrit"
    directory.mkdir(exist_ok=True)
    with locked(directory / "users", fcntl.LOCK_SH):  # waits while a keeper takes its Gerrit down
        with locked(directory / "starting", fcntl.LOCK_EX):
            if not (directory / "place.json").exists():
                start_keeper(directory)
        place = json.loads((directory / "place.json").read_text())
        yield RealGerrit(
            directory=Path(place["directory"]),
            base_url=place["base_url"],
            host=place["host"],
            port=place["port"],
            git_dir=Path(place["git_dir"]),
            host_key=place["host_key"],
        )


@contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, kind)
        yield


def start_keeper(directory: Path) -> None:
    """Returns when Gerrit is ready. The keeper is nobody's child to wait for: it outlives the worker."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    log = str(directory / "keeper.log")
    os.posix_spawn(
        sys.executable,
        [sys.executable, __file__, str(directory)],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_CLOSE, writing),
            (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ],
        setsid=True,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert answer.readline() == "ready\n", (directory / "keeper.log").read_text()


def keep(directory: Path) -> None:
    """Runs Gerrit until nobody holds the users' lock."""
    place = directory / "place.json"
    runs = directory / f"run-{os.getpid()}"
    with RealGerritProcess(runs, ARTIFACTS) as site:
        found = {
            "directory": str(runs),
            "base_url": site.base_url,
            "host": site.host,
            "port": site.port,
            "git_dir": str(site.git_dir),
            "host_key": site.host_key,
        }
        place.write_text(json.dumps(found))
        os.write(1, b"ready\n")
        os.close(1)
        with locked(directory / "users", fcntl.LOCK_EX):
            place.unlink()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
