"""Keeps: the journal in SQLite, its checks and its backups."""
