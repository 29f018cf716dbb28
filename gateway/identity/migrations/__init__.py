"""The history of the database, step by step; alembic runs the missing steps when a gateway starts."""
