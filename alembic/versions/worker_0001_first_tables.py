"""The tables of the first build manager."""

import sqlalchemy as sa
from alembic import op

revision = "worker_0001"
down_revision = None
branch_labels = ("worker",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "worker_numbers",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_worker_numbers")),
    )
    op.create_table(
        "worker_offline",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_worker_offline")),
    )
    builds()


def builds() -> None:
    op.create_table(
        "worker_build",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.Column("result", sa.Text()),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.Column("final", sa.LargeBinary(), nullable=False),
        sa.Column("tests", sa.LargeBinary()),
        sa.Column("estimated", sa.BigInteger()),
        sa.PrimaryKeyConstraint("job", "number", name=op.f("pk_worker_build")),
    )
    op.create_index("ix_worker_build_unique_id_finished_at", "worker_build", ["unique_id", "finished_at"])
    op.create_index("ix_worker_build_started_at", "worker_build", ["started_at"])
    op.create_index("ix_worker_build_job_started_at", "worker_build", ["job", "started_at"])
    op.create_index("ix_worker_build_job_result_number", "worker_build", ["job", "result", "number"])
    op.create_index(
        "ix_worker_build_running",
        "worker_build",
        ["started_at"],
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
