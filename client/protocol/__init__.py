"""The decisions of both clients, without I/O: requests, operations and watches as flows."""
