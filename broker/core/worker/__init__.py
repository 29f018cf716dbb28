"""The core's view of its worker: the jobs dispatched to it, its reports, and its status."""
