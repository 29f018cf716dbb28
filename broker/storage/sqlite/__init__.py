"""The journal in SQLite: one file, or memory."""
