"""Requests of clients, the replies to them, and one table of both."""
