"""Watches: the events of jobs, without gaps."""
