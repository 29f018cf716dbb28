"""Decides: which jobs are taken, in which order they are dispatched, and what becomes of each. Pure."""
