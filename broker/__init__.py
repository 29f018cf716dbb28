"""The broker: takes requests, keeps jobs in a journal, hands them to the worker. Start reading in `core`."""
