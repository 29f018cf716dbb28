"""The records that decisions are made with: jobs, what a turn reads, and what it writes and sends."""
