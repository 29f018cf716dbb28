"""Code that the programs share besides messages: options, logs, locks, addresses, key files, links."""
