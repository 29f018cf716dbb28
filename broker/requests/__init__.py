"""The service of requests: which is next, who may send it, and what the reply is."""
