"""The tables of Zuul 2's sql reporter, under the revision that Zuul 2 gave them: neither finds anything to do in a
database that the other one has made.

MySQL cannot take back what was begun, and a process may die between the statements: a table that is there already
was made by this migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "4d3ebd7f06b9"
down_revision = None
branch_labels = ("reporter",)
depends_on = None


def upgrade() -> None:
    present = sa.inspect(op.get_bind()).get_table_names()
    if "zuul_buildset" not in present:
        buildset()
    if "zuul_build" not in present:
        build()


def buildset() -> None:
    op.create_table(
        "zuul_buildset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("zuul_ref", sa.String(255)),
        sa.Column("pipeline", sa.String(255)),
        sa.Column("project", sa.String(255)),
        sa.Column("change", sa.Integer()),
        sa.Column("patchset", sa.Integer()),
        sa.Column("ref", sa.String(255)),
        sa.Column("score", sa.Integer()),
        sa.Column("message", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )


def build() -> None:
    op.create_table(
        "zuul_build",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("buildset_id", sa.Integer()),
        sa.Column("uuid", sa.String(36)),
        sa.Column("job_name", sa.String(255)),
        sa.Column("result", sa.String(255)),
        sa.Column("start_time", sa.DateTime()),
        sa.Column("end_time", sa.DateTime()),
        sa.Column("voting", sa.Boolean()),
        sa.Column("log_url", sa.String(255)),
        sa.Column("node_name", sa.String(255)),
        sa.ForeignKeyConstraint(["buildset_id"], ["zuul_buildset.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
