"""The application: what answers requests, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from zjobs.gateway import problems
from zjobs.gateway.api import routes
from zjobs.gateway.config import Config
from zjobs.gateway.identity.identity import opened
from zjobs.gateway.identity.routes import own, users
from zjobs.gateway.pages import routes as pages
from zjobs.gateway.services import Services
from zjobs.gateway.web import docs_page, documents
from zjobs.gateway.web.body_limit import BodyLimit
from zjobs.program.version import VERSION


def create_app(config: Config) -> FastAPI:
    """Return the application. Raises BadConfig for services that cannot be used.

    It opens the database that `prepare` of the users' part has prepared.
    """
    services = Services(config.services_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services.open()
        try:
            async with opened(config) as app.state.identity:
                yield
                services.end_streams()
        finally:
            await services.close()

    always = documents.fails(*documents.ALWAYS)
    app = FastAPI(title="zjobs", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, responses=always)
    app.state.config = config
    app.state.services = services
    app.add_middleware(BodyLimit)
    problems.install(app)
    routes.install(app)
    for of_people in (own.ROUTES, users.ROUTES):
        app.include_router(of_people, responses=documents.fails(409))
    pages.install(app)
    docs_page.install(app)
    documents.describe(app)
    return app
