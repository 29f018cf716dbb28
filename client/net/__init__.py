"""The sockets of both clients, and why a connection fails."""
