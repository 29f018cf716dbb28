"""The worker's half of the dispatch: pure decisions."""
