"""Alembic's environment: runs the migrations of `versions/` over a connection that the caller hands in.

Every table, index, view, role and policy of the product is created here and nowhere else. Use
`twin migrate` (or `twin_core.store.migrate.upgrade`); plain `alembic` is not needed.
"""

from alembic import context

from twin_core.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, include_schemas=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
