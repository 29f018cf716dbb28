"""Talks: the broker's sockets, frames and events."""
