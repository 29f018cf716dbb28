"""How the database came to be, step by step; alembic runs what is missing when a gateway starts."""
