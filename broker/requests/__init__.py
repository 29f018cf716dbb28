"""Serves requests: whose turn it is, who may ask what, and what is answered."""
