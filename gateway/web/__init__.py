"""The needs of HTTP besides jobs: values as JSON, media types, bounds, the description of the API and its page."""
