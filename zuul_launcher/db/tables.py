"""The tables of a scheduler, as SQLAlchemy sees them; the migrations in `alembic/` make them.

Times are epoch seconds. JSON that only we read is kept as bytes, as it was encoded. Texts have no length limit: many
come from outside, and one that is too long must not stop the gate. Migrations only add.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
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
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself for INTEGER only

received = Table(  # what arrived and has not been stepped yet
    "received",
    metadata,
    Column("id", Number, primary_key=True),
    Column("at", Double, nullable=False),
    Column("source", Words, nullable=False),  # gerrit:NAME or rpc
    Column("payload", LargeBinary, nullable=False),  # raw: may not even be text
    sqlite_autoincrement=True,  # an id is never met again
)

parked = Table(  # what could not be stepped or understood, for people to look at
    "parked",
    metadata,
    Column("id", Number, primary_key=True),
    Column("at", Double, nullable=False),
    Column("source", Words, nullable=False),  # journal, or the source of a received payload
    Column("payload", LargeBinary, nullable=False),
    Column("item", Words),  # the item that it names
    Column("traceback", Words, nullable=False),
    sqlite_autoincrement=True,
)

journal = Table(  # the events, in the order in which they were stepped
    "journal",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("actions_hash", Words, nullable=False),
    Column("layout", Words, nullable=False),  # hash of the layout that it was stepped with
)

snapshot = Table(  # the state after one of the steps; one row
    "snapshot",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("sequence", Number, nullable=False),
    Column("at", Double, nullable=False),
    Column("format", Integer, nullable=False),
    Column("layout", Words, nullable=False),
    Column("state", LargeBinary, nullable=False),  # zlib
)

layout = Table(
    "layout",
    metadata,
    Column("hash", Words, primary_key=True),
    Column("at", Double, nullable=False),  # last loaded
    Column("content", LargeBinary, nullable=False),  # zlib
)

outbox = Table(  # the actions that shells have to do, or did
    "outbox",
    metadata,
    Column("id", Number, primary_key=True),
    Column("sequence", Number, nullable=False),  # the step that asked for it
    Column("kind", Words, nullable=False),  # of action: Launch
    Column("target", Words, nullable=False),  # who does it: merger, gearman, gerrit:NAME
    Column("key", Words, nullable=False),  # id of the item
    Column("payload", LargeBinary, nullable=False),
    Column("status", Words, nullable=False, server_default="todo"),  # todo, done, failed
    Column("deliveries", Integer, nullable=False, server_default="0"),
    Column("not_before", Double, nullable=False, server_default="0"),
    Column("first_tried_at", Double),
    Column("error", Words),
    CheckConstraint("status IN ('todo', 'done', 'failed')", name="status"),
    sqlite_autoincrement=True,
)
Index(
    "ix_outbox_todo",
    outbox.c.target,
    outbox.c.id,
    sqlite_where=text("status = 'todo'"),
    postgresql_where=text("status = 'todo'"),
)
Index("ix_outbox_sequence", outbox.c.sequence)

lease = Table(  # which process may write; one row, made by the migration
    "lease",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("token", Number, nullable=False),  # goes up by one with each holder
    Column("holder", Words, nullable=False),
    Column("renewed_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

buildset = Table(  # one attempt at an item
    "buildset",
    metadata,
    Column("item", Words, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("pipeline", Words, nullable=False),
    Column("project", Words, nullable=False),
    Column("branch", Words),
    Column("change", Words),
    Column("patchset", Words),
    Column("ref", Words),  # as Gerrit names it
    Column("newrev", Words),
    Column("zuul_ref", Words),  # Z + 32 hex digits
    Column("commit", Words),
    Column("zuul_url", Words),
    Column("verdict", Words),
    Column("created_at", Double, nullable=False),
    Column("reported_at", Double),
)
Index("ix_buildset_change", buildset.c.change)
Index("ix_buildset_project_created_at", buildset.c.project, buildset.c.created_at)
Index("ix_buildset_created_at", buildset.c.created_at)

build = Table(  # one run of a job
    "build",
    metadata,
    Column("uuid", Words, primary_key=True),
    Column("item", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("job", Words, nullable=False),
    Column("run", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("voting", Boolean, nullable=False),
    Column("precedence", Words, nullable=False),
    Column("pipeline", Words, nullable=False),  # from here to newrev as in buildset: people ask by them
    Column("project", Words, nullable=False),
    Column("branch", Words),
    Column("change", Words),
    Column("patchset", Words),
    Column("ref", Words),
    Column("newrev", Words),
    Column("open", Boolean, nullable=False),  # not known to have ended
    Column("parameters", Words),  # JSON, the very bytes that were submitted
    Column("handle", Words),
    Column("manager", Words),
    Column("number", Words),  # JSON: a worker sends 7 or "7", and gets back what it sent
    Column("url", Words),
    Column("node_name", Words),
    Column("node_labels", Words),  # JSON
    Column("worker", Words),  # JSON
    Column("result", Words),
    Column("launched_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
)
Index("ix_build_open", build.c.launched_at, sqlite_where=text("open"), postgresql_where=text("open"))
Index("ix_build_item_attempt", build.c.item, build.c.attempt)
Index("ix_build_job_result_ended_at", build.c.job, build.c.result, build.c.ended_at)
Index("ix_build_job_launched_at", build.c.job, build.c.launched_at)
Index("ix_build_change", build.c.change)
Index("ix_build_project_launched_at", build.c.project, build.c.launched_at)
Index("ix_build_launched_at", build.c.launched_at)
