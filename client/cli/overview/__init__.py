"""The whole queue at a glance, as `status` and `top` show it."""
