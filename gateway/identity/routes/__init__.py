"""The API of people: logins, tokens, users, audit trail."""
