"""The figures of zjobs; each module has a `measure(bench)` that yields them by name."""
