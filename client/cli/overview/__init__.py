"""An overview of the whole queue, as `status` and `top` show it."""
