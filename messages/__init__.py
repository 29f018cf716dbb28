"""The protocol: every message (`types`) and its encoding (`wire`). See docs/protocol.md."""
