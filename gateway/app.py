"""The application: what answers requests, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from zjobs.gateway import problems
from zjobs.gateway.config import Config
from zjobs.gateway.identity.identity import opened
from zjobs.gateway.identity.routes import own, users
from zjobs.gateway.services import Services
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
        finally:
            services.close()

    app = FastAPI(title="zjobs", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.config = config
    app.state.services = services
    app.add_exception_handler(problems.Problem, problems.answer)
    app.include_router(own.ROUTES)
    app.include_router(users.ROUTES)
    return app
