"""What zjobs costs, measured beside the floor (pyzmq and msgpack alone) and beside what else people would use."""
