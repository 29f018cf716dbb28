"""The task process, from outside (`process`) and from inside (`inside.main`)."""
