"""The page /docs: Swagger UI, from the files of a package, so that it needs no internet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

FILES = "/docs/files"
_PACKAGE = "fastapi_offline"


def install(app: FastAPI) -> None:
    """Serve the page and its files."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} API",
            swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{root}{FILES}/favicon.png",
            oauth2_redirect_url=None,
        )

    app.mount(FILES, StaticFiles(directory=_folder()), name="docs")


def _folder() -> Path:
    """Return where the package's files are; it is not imported, because only its files are of use."""
    spec = find_spec(_PACKAGE)
    assert spec is not None and spec.origin is not None, f"{_PACKAGE} is a dependency of the extra `gateway`"
    return Path(spec.origin).parent / "static"
