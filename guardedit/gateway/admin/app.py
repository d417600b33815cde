"""The application of the operators' interface: its routes, its page, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from guardedit.core.errors import (
    ConflictError,
    CorrectionError,
    GuardeditError,
    LedgerBusy,
    StorageFull,
    UsageError,
)
from guardedit.gateway.admin import changing, playground, reading
from guardedit.gateway.admin.office import NotFound, Office, Refused
from guardedit.gateway.admin.playground import Playground
from guardedit.gateway.admin.submitting import SourceTaken
from guardedit.models.streaming.engine import Busy
from guardedit.version import VERSION

PAGE = Path(__file__).parent / "page"
#: The files of the page.
FILES = ("page.js", "playground.js", "chart.js", "page.css")
#: Nothing but the page's own files; no frames, no forms to other places.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Errors and their status; the first that fits counts, and any other of ours is 503.
_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (NotFound, 404),
    (SourceTaken, 403),
    (Busy, 429),
    (CorrectionError, 400),
    (UsageError, 400),
    (ConflictError, 409),
    (LedgerBusy, 409),
    (StorageFull, 507),
)

_page = APIRouter()


def admin_app(office: Office, asked: Playground) -> FastAPI:
    """The application."""
    app = FastAPI(title="guardedit admin", version=VERSION, docs_url=None, redoc_url=None)
    app.state.office, app.state.playground = office, asked
    app.add_exception_handler(GuardeditError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.middleware("http")(_secured)
    for router in (reading.router, changing.router, playground.router, _page):
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


def _problem(status: int, message: str) -> JSONResponse:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}.get(status)
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)


async def _on_error(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refused):
        return _problem(error.status, str(error))
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
    return _problem(status, str(error))


async def _on_bad_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _problem(422, f"{place}: {first['msg']}")


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, str(error.detail))
