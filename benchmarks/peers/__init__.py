"""Alternatives that people would use, with the same job: one worker, one job at a time, results kept."""
