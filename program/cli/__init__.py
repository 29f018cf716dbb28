"""The command line of every program: options as data, and the parser of lines."""
