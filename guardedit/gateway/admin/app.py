"""The application of the operators' interface: its routes, its page, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from guardedit.core.errors import GuardeditError
from guardedit.gateway.admin import changing, playground, problems, reading
from guardedit.gateway.admin.office import NotFound, Office
from guardedit.gateway.admin.playground import Playground
from guardedit.version import VERSION

PAGE = Path(__file__).parent / "page"
#: The files of the page.
FILES = ("page.js", "epochs.js", "playground.js", "chart.js", "page.css")
#: Nothing but the page's own files; no frames, no forms to other places.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_page = APIRouter()


def admin_app(office: Office, asked: Playground) -> FastAPI:
    """The application."""
    app = FastAPI(title="guardedit admin", version=VERSION, docs_url=None, redoc_url=None)
    app.state.office, app.state.playground = office, asked
    app.add_exception_handler(GuardeditError, problems.on_error)
    app.add_exception_handler(RequestValidationError, problems.on_bad_request)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(Exception, problems.on_fault)
    app.middleware("http")(_secured)
    # `GET /v1/facts/{name:path}` also matches `/v1/facts/x/undo`; with it first, a wrong method would get the
    # wrong Allow header.
    for router in (changing.router, playground.router, reading.health, reading.router, _page):
        app.include_router(router)
    return app


@_page.get("/", include_in_schema=False)
def _index() -> FileResponse:
    return FileResponse(PAGE / "index.html")


@_page.get("/page/{name}", include_in_schema=False)
def _file(name: str) -> FileResponse:
    if name not in FILES:
        raise NotFound("there is no such file")
    return FileResponse(PAGE / name)


async def _secured(request: Request, call_next: Callable[[Request], Any]) -> Response:
    answer: Response = await call_next(request)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cache-Control"] = "no-store"
    return answer
