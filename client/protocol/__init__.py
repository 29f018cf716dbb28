"""What both clients decide, without I/O: requests, operations and watches as flows."""
