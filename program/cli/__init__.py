"""The command line of every program: options as data, and how a line is read by them."""
