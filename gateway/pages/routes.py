"""All pages, and the files that they need."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from zjobs.gateway.pages.acting import bulk, change, edit, pause, submit
from zjobs.gateway.pages.people import account, audit, login, users
from zjobs.gateway.pages.shared.rendering import STATIC
from zjobs.gateway.pages.shared.replies import Replies
from zjobs.gateway.pages.viewing import history, job, past, service


class _Files(StaticFiles):
    """Files that browsers may keep for good: their addresses change with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answered = await super().get_response(path, scope)
        if answered.status_code == 200:
            answered.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answered


def install(app: FastAPI) -> None:
    """Serve the pages."""
    app.state.replies = Replies()
    for room in (login, account, users, audit, past, service, history, job, submit, pause, bulk, edit, change):
        app.include_router(room.ROUTES)
    app.mount("/static", _Files(directory=STATIC), name="static")
