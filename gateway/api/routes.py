"""All routes of the API."""

from __future__ import annotations

from fastapi import FastAPI

from zjobs.gateway.api import contents, edits, jobs, many, queue, services, streams


def install(app: FastAPI) -> None:
    """Put each route into the application itself: FastAPI would look twice for one of an included router."""
    for routes in (
        jobs.ROUTES,
        many.ROUTES,
        edits.ROUTES,
        contents.ROUTES,
        queue.ROUTES,
        services.ROUTES,
        services.LIST,
        streams.ROUTES,
    ):
        app.router.routes.extend(routes.routes)
