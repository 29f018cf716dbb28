"""Times by the wall clock at which the queue does something by itself."""
