"""Run the migrations over the connection that zuul_launcher/db/migrate.py hands in, inside its transaction."""

from alembic import context

from zuul_launcher.db.migrate import VERSION_TABLE
from zuul_launcher.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
