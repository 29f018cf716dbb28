"""The protocol: all messages, and their encoding. See docs/protocol.md."""
