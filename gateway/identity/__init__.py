"""Who may ask the gateway: people, their tokens, and what became of both."""
