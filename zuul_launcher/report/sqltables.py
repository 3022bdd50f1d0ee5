"""The tables of Zuul 2's sql reporter, as its revision 4d3ebd7f06b9 made them (behaviour.md §8.3).

Others read them, so they stay as they are. The migration of the branch `reporter` makes the same.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

buildset = sa.Table(
    "zuul_buildset",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("zuul_ref", sa.String(255)),
    sa.Column("pipeline", sa.String(255)),
    sa.Column("project", sa.String(255)),
    sa.Column("change", sa.Integer),
    sa.Column("patchset", sa.Integer),
    sa.Column("ref", sa.String(255)),
    sa.Column("score", sa.Integer),
    sa.Column("message", sa.Text),
)

build = sa.Table(
    "zuul_build",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("buildset_id", sa.Integer, sa.ForeignKey("zuul_buildset.id")),
    sa.Column("uuid", sa.String(36)),
    sa.Column("job_name", sa.String(255)),
    sa.Column("result", sa.String(255)),
    sa.Column("start_time", sa.DateTime),
    sa.Column("end_time", sa.DateTime),
    sa.Column("voting", sa.Boolean),
    sa.Column("log_url", sa.String(255)),
    sa.Column("node_name", sa.String(255)),
)
