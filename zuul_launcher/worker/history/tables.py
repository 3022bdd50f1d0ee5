"""The tables of a build manager, as SQLAlchemy sees them; the migrations of the branch `worker` make the same.

Times are epoch seconds. JSON is kept as bytes: only we read it. Migrations only add.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    text,
)

from zuul_launcher.db.columns import Words

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

numbers = Table(  # a row a job that ever ran; stays when its builds are forgotten
    "worker_numbers",
    metadata,
    Column("job", Words, primary_key=True),
    Column("last", Integer, nullable=False),
)

builds = Table(
    "worker_build",
    metadata,
    Column("job", Words, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("unique_id", Words, nullable=False),  # of the Gearman job
    Column("node", Words, nullable=False),
    Column("worker", Words, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("result", Words),
    Column("description", Words, nullable=False),  # HTML from outside
    Column("parameters", LargeBinary, nullable=False),  # JSON
    Column("final", LargeBinary, nullable=False),  # empty: it runs, or it was cut off
    Column("tests", LargeBinary),  # JSON
    Column("estimated", BigInteger),  # milliseconds
)
Index("ix_worker_build_unique_id_finished_at", builds.c.unique_id, builds.c.finished_at)
Index("ix_worker_build_started_at", builds.c.started_at)
Index("ix_worker_build_job_started_at", builds.c.job, builds.c.started_at)
Index("ix_worker_build_job_result_number", builds.c.job, builds.c.result, builds.c.number)
Index(
    "ix_worker_build_running",
    builds.c.started_at,
    sqlite_where=text("finished_at IS NULL"),
    postgresql_where=text("finished_at IS NULL"),
)

offline = Table(  # nodes that take no builds until somebody brings them back
    "worker_offline",
    metadata,
    Column("node", Words, primary_key=True),
    Column("reason", Words, nullable=False),
)
