"""The broker: receives requests, keeps jobs in a journal, dispatches them to the worker. Start reading in `core`."""
