"""Schemas of tasks' parameters: the JSON Schema that the worker announces, and checks of data by it.

The worker checks before it calls a task, and a client before it sends, both with this code: what a client lets through,
the worker accepts, and a mistake is described in the same words, whoever finds it. docs/protocol.md (*Schemas*) lists
the keywords that are checked; others are ignored.
"""
