"""The sockets of both clients, and the reasons why a connection fails."""
