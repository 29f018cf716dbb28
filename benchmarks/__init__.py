"""The costs of zjobs, measured beside the floor (pyzmq and msgpack alone) and beside alternatives."""
