"""Values, durations and estimates in words: the same for all programs that show them to people. Pure."""
