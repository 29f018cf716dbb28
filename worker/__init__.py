"""The worker: runs jobs strictly in order in a task process (`task`), driven by a pure core (`core`)."""
