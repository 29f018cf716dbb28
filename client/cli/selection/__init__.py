"""Which jobs a command is for: ids, ranges, filters; and whether the user means it."""
