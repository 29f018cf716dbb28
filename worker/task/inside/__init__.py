"""What runs inside the task process."""
