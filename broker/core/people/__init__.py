"""People, as the core knows them: who asks, and what they have paused."""
