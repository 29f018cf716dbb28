"""Real programs under load and under fire, and a history of what everybody saw."""
