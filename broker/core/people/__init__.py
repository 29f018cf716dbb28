"""People, as the core sees them: who sends a request, and who paused what."""
