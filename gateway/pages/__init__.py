"""Pages for people: made on the server, and complete without a script."""
