"""Pages that only show: the service, its jobs, what is in them."""
