"""Faults at exact places: the n-th write, flush, send or commit of a real broker or worker."""
