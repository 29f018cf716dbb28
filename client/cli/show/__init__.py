"""The output of zclient: both streams, and statuses, results and tables as text."""
