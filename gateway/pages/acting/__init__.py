"""Forms that change something of a service."""
