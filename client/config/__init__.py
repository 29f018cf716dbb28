"""The settings of a client: the broker's addresses, keys and patience, from arguments, the environment and a file."""
