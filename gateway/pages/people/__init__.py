"""Pages of people: logging in, one's own account, users, audit trail."""
