"""The worker: runs jobs strictly in turn in a task process (`task`), driven by a pure core (`core`)."""
