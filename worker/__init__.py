"""The worker: runs jobs strictly in turn in a task process (`child`), driven by a pure core (`core`)."""
