"""What zclient shows: both streams, and statuses, results and tables as text."""
