"""The events of services, as server-sent events."""
