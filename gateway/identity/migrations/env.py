"""Run by alembic: the steps, on the connection and in the transaction that `database.py` opened."""

from alembic import context

from zjobs.gateway.identity.models import Base

# transactional_ddl: SQLite can, since database.py begins transactions itself
context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transactional_ddl=True
)
context.run_migrations()
