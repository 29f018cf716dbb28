"""The broker's sockets, frames and events."""
