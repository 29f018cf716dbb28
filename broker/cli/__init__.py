"""The command line of zbroker."""
