"""Who asks: users, tokens, passwords."""
