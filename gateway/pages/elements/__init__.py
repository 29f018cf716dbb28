"""Jobs, times and values as templates show them. Pure."""
