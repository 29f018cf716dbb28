"""The routes: what each request asks of its broker, and how that is answered."""
