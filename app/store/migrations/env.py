"""Run by Alembic for each upgrade, inside the transaction that app/store/migrations has begun."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
