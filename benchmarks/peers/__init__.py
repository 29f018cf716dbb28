"""What people would use instead, doing the same job: one worker, one job at a time, results kept."""
