"""The service over HTTP, beside a FastAPI application of one line on the same server."""
