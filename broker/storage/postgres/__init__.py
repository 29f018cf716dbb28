"""The journal in PostgreSQL, which replicates and backs it up as the rest of a database."""
