"""The code that runs inside the task process."""
