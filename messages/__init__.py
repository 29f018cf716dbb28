"""The protocol: every message and its encoding. See docs/protocol.md."""
