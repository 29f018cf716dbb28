"""What a task takes: the JSON Schema of its parameters, as its worker announces it, and checks of data by it.

The worker checks before it calls a task and a client before it sends, both with this code: what a client lets through
the worker accepts, and a mistake is described in the same words, whoever finds it. docs/protocol.md (*Schemas*) has the
keywords that are looked at; others say nothing here.
"""
