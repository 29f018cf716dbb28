"""`zbroker check`, `backup` and `restore`: journals in files, from outside the broker."""
