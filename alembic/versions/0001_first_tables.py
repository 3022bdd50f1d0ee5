"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("scheduler",)
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    arrival()
    steps()
    outbox()
    lease()
    history()


def arrival() -> None:
    op.create_table(
        "received",
        sa.Column("id", Number, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_received")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "parked",
        sa.Column("id", Number, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.Text()),
        sa.Column("traceback", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked")),
        sqlite_autoincrement=True,
    )


def steps() -> None:
    op.create_table(
        "journal",
        sa.Column("sequence", Number, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("actions_hash", sa.Text(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_journal")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_snapshot_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    op.create_table(
        "layout",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_layout")),
    )


def outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", Number, nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), server_default="todo", nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.Double(), server_default="0", nullable=False),
        sa.Column("first_tried_at", sa.Double()),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("status IN ('todo', 'done', 'failed')", name=op.f("ck_outbox_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_sequence", "outbox", ["sequence"])
    op.create_index(
        "ix_outbox_todo",
        "outbox",
        ["target", "id"],
        sqlite_where=sa.text("status = 'todo'"),
        postgresql_where=sa.text("status = 'todo'"),
    )


def lease() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token", Number, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("renewed_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_lease_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.execute("INSERT INTO lease (id, token, holder, renewed_at, expires_at) VALUES (1, 0, '', 0, 0)")


def history() -> None:
    op.create_table(
        "buildset",
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text()),
        sa.Column("change", sa.Text()),
        sa.Column("patchset", sa.Text()),
        sa.Column("ref", sa.Text()),
        sa.Column("newrev", sa.Text()),
        sa.Column("zuul_ref", sa.Text()),
        sa.Column("commit", sa.Text()),
        sa.Column("zuul_url", sa.Text()),
        sa.Column("verdict", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("reported_at", sa.Double()),
        sa.PrimaryKeyConstraint("item", "attempt", name=op.f("pk_buildset")),
    )
    op.create_index("ix_buildset_change", "buildset", ["change"])
    op.create_index("ix_buildset_created_at", "buildset", ["created_at"])
    op.create_index("ix_buildset_project_created_at", "buildset", ["project", "created_at"])
    op.create_table(
        "build",
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("voting", sa.Boolean(), nullable=False),
        sa.Column("precedence", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text()),
        sa.Column("change", sa.Text()),
        sa.Column("patchset", sa.Text()),
        sa.Column("ref", sa.Text()),
        sa.Column("newrev", sa.Text()),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("parameters", sa.Text()),
        sa.Column("handle", sa.Text()),
        sa.Column("manager", sa.Text()),
        sa.Column("number", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("node_name", sa.Text()),
        sa.Column("node_labels", sa.Text()),
        sa.Column("worker", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("launched_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("ended_at", sa.Double()),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_build")),
    )
    op.create_index("ix_build_change", "build", ["change"])
    op.create_index("ix_build_item_attempt", "build", ["item", "attempt"])
    op.create_index("ix_build_job_launched_at", "build", ["job", "launched_at"])
    op.create_index("ix_build_job_result_ended_at", "build", ["job", "result", "ended_at"])
    op.create_index("ix_build_launched_at", "build", ["launched_at"])
    op.create_index(
        "ix_build_open", "build", ["launched_at"], sqlite_where=sa.text("open"), postgresql_where=sa.text("open")
    )
    op.create_index("ix_build_project_launched_at", "build", ["project", "launched_at"])
