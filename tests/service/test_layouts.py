"""A wrong layout ends a first start with all mistakes; a later one goes on with what the database holds."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from zuul_launcher.db import journal, lease, migrate
from zuul_launcher.db.engine import connect
from zuul_launcher.service import layouts
from zuul_launcher.settings import Settings, load
from zuul_launcher.yamlfile.problems import FileErrors

CONF = """\
[gearman]
server = 127.0.0.1
[zuul]
layout_config = {folder}/layout.yaml
state_dir = {folder}
"""
RIGHT = "pipelines: []\nprojects: []\n"
WRONG = "pipelines: []\nprojects: {}\nmore: []\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "zuul.conf").write_text(CONF.format(folder=tmp_path))
    (tmp_path / "layout.yaml").write_text(WRONG)
    return load(tmp_path / "zuul.conf")


def store(settings: Settings, layout: str, *, step: bool) -> None:
    """A state that goes by the layout of this hash, in a database that keeps the one named `kept`."""
    engine = connect(settings.database.dburi)
    migrate.create(engine)
    token = lease.acquire(engine, "the test", 0.0, 1e9)
    assert token is not None
    journal.put_layout(engine, token, "kept", b"{}", 0.0)
    first = "other" if step else layout
    journal.put_snapshot(engine, token, journal.Snapshot(sequence=0, at=0.0, layout=first, state=b""))
    if step:
        journal.commit(engine, token, journal.Step(sequence=1, at=0.0, event=b"{}", actions_hash="", layout=layout))
    engine.dispose()


def test_a_right_layout_is_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "layout.yaml").write_text(RIGHT)
    assert isinstance(layouts.read_first(settings), layouts.Read)


def test_a_first_start_ends_with_the_mistakes_and_makes_no_database(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileErrors) as raised:
        layouts.read_first(settings)
    assert layouts.problems_of(raised.value) == tuple(map(str, raised.value.problems))
    assert len(raised.value.problems) == 2
    assert not (tmp_path / "zuul.sqlite").exists()


@pytest.mark.parametrize("step", [True, False])
def test_a_later_one_has_the_stored_layout_to_go_on_with(settings: Settings, *, step: bool) -> None:
    store(settings, "kept", step=step)
    assert isinstance(layouts.read_first(settings), FileErrors)


@pytest.mark.parametrize("layout", ["", "lost"])
def test_a_state_without_its_layout_is_nothing_to_go_on_with(settings: Settings, layout: str) -> None:
    store(settings, layout, step=False)
    with pytest.raises(FileErrors):
        layouts.read_first(settings)


def test_a_database_that_cannot_be_asked_is_none(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    for dburi in (f"sqlite:///{tmp_path}/empty.sqlite", f"sqlite:///{tmp_path}", "nonsense"):
        with pytest.raises(FileErrors):
            layouts.read_first(replace(settings, database=replace(settings.database, dburi=dburi)))
