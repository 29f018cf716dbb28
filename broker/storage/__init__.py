"""Keeps: what the broker asks of its storage, and what answers it."""
