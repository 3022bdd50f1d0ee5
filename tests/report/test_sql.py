"""Reports in databases, in the shape that Zuul 2 gave them."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool
from support.waiting import free_port

from zuul_launcher.db.migrate import upgrade_reporter
from zuul_launcher.errors import ConfigurationError, RemoteRefused, RemoteUnavailable
from zuul_launcher.report import sqltables
from zuul_launcher.report.sql import Record, RecordedBuild, Recorder

STARTED, ENDED = 1_500_000_000.0, 1_500_000_065.75
BUILD = RecordedBuild(
    uuid="1" * 32,
    job="unit",
    result="SUCCESS",
    started_at=STARTED,
    ended_at=ENDED,
    voting=True,
    url="https://logs.example.net/1",
    node_name="node7",
)
RECORD = Record(
    zuul_ref="Z" + "a" * 32,
    pipeline="gate",
    project="lib/alpha",
    change="4710",
    patchset="2",
    ref="refs/changes/10/4710/2",
    score=1,
    message="Build succeeded.",
    builds=(BUILD, replace(BUILD, uuid="2" * 32, job="docs", result="it failed", voting=False)),
)

# What a database says of itself after Zuul 2.6 has used it, as SQL of the time.
OF_V2 = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
CREATE TABLE zuul_buildset (id INTEGER NOT NULL, zuul_ref VARCHAR(255), pipeline VARCHAR(255), project VARCHAR(255),
 "change" INTEGER, patchset INTEGER, ref VARCHAR(255), score INTEGER, message TEXT, PRIMARY KEY (id));
CREATE TABLE zuul_build (id INTEGER NOT NULL, buildset_id INTEGER, uuid VARCHAR(36), job_name VARCHAR(255),
 result VARCHAR(255), start_time DATETIME, end_time DATETIME, voting BOOLEAN, log_url VARCHAR(255),
 node_name VARCHAR(255), PRIMARY KEY (id), FOREIGN KEY(buildset_id) REFERENCES zuul_buildset (id),
 CHECK (voting IN (0, 1)));
INSERT INTO alembic_version (version_num) VALUES ('4d3ebd7f06b9');
INSERT INTO zuul_buildset (id, zuul_ref) VALUES (7, 'Zold');
"""


@pytest.fixture
def engine(dburi: str) -> Iterator[Engine]:
    """Another look at the database."""
    url = make_url(dburi)
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[url.drivername]
    engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def recorder(dburi: str) -> Recorder:
    return Recorder(dburi, upgrade_reporter)


def rows(engine: Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.id))]


def test_an_empty_database_gets_the_tables_and_the_revision_of_v2(recorder: Recorder, engine: Engine) -> None:
    recorder.prepare()
    with engine.connect() as connection:
        shape = sa.inspect(connection)
        assert sorted(shape.get_table_names()) == ["alembic_version", "zuul_build", "zuul_buildset"]
        columns = [[one["name"] for one in shape.get_columns(name)] for name in ("zuul_buildset", "zuul_build")]
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    assert columns == [
        ["id", "zuul_ref", "pipeline", "project", "change", "patchset", "ref", "score", "message"],
        ["id", "buildset_id", "uuid", "job_name", "result", "start_time", "end_time", "voting", "log_url", "node_name"],
    ]
    assert revision == ["4d3ebd7f06b9"]


def test_the_tables_are_what_the_program_expects(recorder: Recorder, engine: Engine) -> None:
    recorder.prepare()
    with engine.connect() as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), sqltables.metadata
        )
    assert found == []


def test_a_report_becomes_one_buildset_and_a_row_for_each_build_in_its_order(
    recorder: Recorder, engine: Engine
) -> None:
    recorder.write(RECORD, again=False)
    (buildset,) = rows(engine, sqltables.buildset)
    assert buildset == {
        "id": buildset["id"],
        "zuul_ref": "Z" + "a" * 32,
        "pipeline": "gate",
        "project": "lib/alpha",
        "change": 4710,
        "patchset": 2,
        "ref": "refs/changes/10/4710/2",
        "score": 1,
        "message": "Build succeeded.",
    }
    first, second = rows(engine, sqltables.build)
    assert first == {
        "id": first["id"],
        "buildset_id": buildset["id"],
        "uuid": "1" * 32,
        "job_name": "unit",
        "result": "SUCCESS",
        "start_time": datetime.fromtimestamp(STARTED),
        "end_time": datetime.fromtimestamp(1_500_000_065),
        "voting": True,
        "log_url": "https://logs.example.net/1",
        "node_name": "node7",
    }
    assert (second["job_name"], second["result"], second["voting"]) == ("docs", "it failed", False)
    assert second["buildset_id"] == buildset["id"]


def test_what_is_not_known_is_null(recorder: Recorder, engine: Engine) -> None:
    skipped = replace(BUILD, result=None, started_at=None, ended_at=None, node_name=None)
    recorder.write(replace(RECORD, change=None, patchset=None, zuul_ref=None, builds=(skipped,)), again=False)
    (buildset,), (build,) = rows(engine, sqltables.buildset), rows(engine, sqltables.build)
    assert [name for name, value in buildset.items() if value is None] == ["zuul_ref", "change", "patchset"]
    assert [name for name, value in build.items() if value is None] == ["result", "start_time", "end_time", "node_name"]


def test_what_does_not_fit_is_cut_and_what_cannot_be_stored_is_replaced(recorder: Recorder, engine: Engine) -> None:
    long = "Grüße 😀\0" * 100
    record = Record(
        zuul_ref=long,
        pipeline=long,
        project=long,
        change="9" * 10,
        patchset="none",
        ref=long,
        score=10**12,
        message=long * 200,
        builds=(replace(BUILD, job=long, result=long, url=long, node_name=long),),
    )
    recorder.write(record, again=False)
    (buildset,), (build,) = rows(engine, sqltables.buildset), rows(engine, sqltables.build)
    clean = long.replace("\0", " ")
    assert (buildset["project"], build["log_url"]) == (clean[:255], clean[:255])
    assert (buildset["change"], buildset["patchset"], buildset["score"]) == (None, None, 2**31 - 1)
    assert (clean * 200).startswith(buildset["message"])
    assert len(buildset["message"].encode()) in range(59_990, 60_001)


@pytest.mark.parametrize("again", [RECORD, replace(RECORD, builds=())], ids=["by builds", "by zuul_ref"])
def test_a_report_that_is_written_again_is_there_once(recorder: Recorder, engine: Engine, again: Record) -> None:
    recorder.write(again, again=False)
    recorder.write(again, again=True)
    assert len(rows(engine, sqltables.buildset)) == 1
    assert len(rows(engine, sqltables.build)) == len(again.builds)


def test_a_report_whose_first_try_was_not_stored_is_written_the_second_time(recorder: Recorder, engine: Engine) -> None:
    other = replace(RECORD, zuul_ref="Zother", builds=(replace(BUILD, uuid="9" * 32),))
    recorder.write(other, again=False)
    recorder.write(RECORD, again=True)
    recorder.write(replace(RECORD, zuul_ref="Zthird", builds=()), again=True)
    assert [row["zuul_ref"] for row in rows(engine, sqltables.buildset)] == ["Zother", RECORD.zuul_ref, "Zthird"]


def test_a_start_report_is_written_each_time(recorder: Recorder, engine: Engine) -> None:
    start = replace(RECORD, zuul_ref=None, builds=())
    recorder.write(start, again=False)
    recorder.write(start, again=True)  # it may be the second try of another one: a double is the lesser evil
    assert len(rows(engine, sqltables.buildset)) == 2


def test_a_report_is_stored_whole_or_not_at_all(recorder: Recorder, engine: Engine) -> None:
    recorder.prepare()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE zuul_build"))
    with pytest.raises((RemoteUnavailable, RemoteRefused)):
        recorder.write(RECORD, again=False)
    assert rows(engine, sqltables.buildset) == []


def test_a_database_of_v2_is_taken_as_it_is(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/v2.sqlite", poolclass=NullPool)
    with engine.begin() as connection:
        for statement in OF_V2.split(";\n")[:-1]:
            connection.execute(text(statement))
    Recorder(f"sqlite:///{tmp_path}/v2.sqlite", upgrade_reporter).write(RECORD, again=True)
    assert [row["zuul_ref"] for row in rows(engine, sqltables.buildset)] == ["Zold", RECORD.zuul_ref]
    assert len(rows(engine, sqltables.build)) == 2


def test_a_start_that_died_between_the_tables_is_gone_on_with(recorder: Recorder, engine: Engine) -> None:
    with engine.begin() as connection:
        sqltables.buildset.create(connection)
    recorder.write(RECORD, again=False)
    assert len(rows(engine, sqltables.build)) == 2


def test_a_database_of_a_later_zuul_is_refused_and_left_alone(recorder: Recorder, engine: Engine) -> None:
    recorder.prepare()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '1b9b0d2f9a3a'"))
    with pytest.raises(RemoteRefused, match=r"1b9b0d2f9a3a.*a database of their own"):
        Recorder(engine.url.render_as_string(hide_password=False), upgrade_reporter).write(RECORD, again=False)
    assert rows(engine, sqltables.buildset) == []


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_database_that_is_away_is_worth_another_try_and_no_secret_is_told(scheme: str) -> None:
    dburi = f"{scheme}://zuul:s3cret@127.0.0.1:{free_port()}/reports"
    with pytest.raises(RemoteUnavailable, match=rf"database {scheme}.*127\.0\.0\.1") as caught:
        Recorder(dburi, upgrade_reporter).write(RECORD, again=False)
    assert "s3cret" not in str(caught.value)


def test_a_folder_that_is_missing_is_worth_another_try(tmp_path: Path) -> None:
    recorder = Recorder(f"sqlite:///{tmp_path}/later/reports.sqlite", upgrade_reporter)
    with pytest.raises(RemoteUnavailable):
        recorder.write(RECORD, again=False)
    (tmp_path / "later").mkdir()
    recorder.write(RECORD, again=False)


@pytest.mark.parametrize("dburi", ["nonsense", "oracle://db/x", "://"])
def test_an_url_that_cannot_be_used_is_a_mistake_in_zuul_conf(dburi: str) -> None:
    with pytest.raises(ConfigurationError, match="give sqlite"):
        Recorder(dburi, upgrade_reporter)


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mysql+mysqldb", "postgresql", "postgresql+psycopg2"])
def test_the_urls_of_v2_are_understood(scheme: str) -> None:
    with pytest.raises(RemoteUnavailable):  # understood, and nobody there
        Recorder(f"{scheme}://zuul@127.0.0.1:{free_port()}/reports", upgrade_reporter).prepare()


def test_nothing_is_asked_before_the_first_report() -> None:
    asked: list[Connection] = []
    Recorder("sqlite:////nowhere/at/all.sqlite", asked.append)
    assert asked == []
