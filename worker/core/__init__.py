"""Decides: the worker's half of the dispatch. Pure."""
