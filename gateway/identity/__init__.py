"""The identities of the gateway: people, their tokens, and the audit trail of both."""
