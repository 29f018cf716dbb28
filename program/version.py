"""The version of the package, read by setup.py too; importlib.metadata would cost every command 20 ms."""

VERSION = "0.1.0"
