"""Connections to PostgreSQL: where it is, how it is spoken to, who owns the journal, and what a commit guarantees."""
