"""What the core knows of its worker: what was dispatched to it, what it reported, and how it is."""
