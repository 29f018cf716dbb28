"""The worker's files: its lock, the spool of unacknowledged reports, complete logs of runs."""
