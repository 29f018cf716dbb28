"""The selection of the jobs that a command is for: ids, ranges, filters; and the question whether the user means it."""
