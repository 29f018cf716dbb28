"""All routes of the API."""

from __future__ import annotations

from fastapi import APIRouter

from zjobs.gateway.api import contents, jobs, many, queue, services, streams

PREFIX = "/api/v1"

ROUTES = APIRouter(prefix=PREFIX)
ROUTES.include_router(services.LIST)
for _routes in (jobs.ROUTES, many.ROUTES, contents.ROUTES, queue.ROUTES, services.ROUTES, streams.ROUTES):
    ROUTES.include_router(_routes, prefix="/services/{service}")
