"""Errors of the operators' interface: their one form, their status, and how the document describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from guardedit.core.errors import (
    ConflictError,
    CorrectionError,
    GuardeditError,
    LedgerBusy,
    PolicyError,
    StorageFull,
    UsageError,
)
from guardedit.gateway.admin.office import NotFound, Refused
from guardedit.gateway.admin.submitting import SourceTaken
from guardedit.models.streaming.engine import Busy
from guardedit.runtime.operator.approving import NotAllowed

#: Errors and their status; the first that fits counts, and any other of ours is 503.
_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (NotFound, 404),
    (NotAllowed, 403),
    (SourceTaken, 403),
    (Busy, 429),
    (CorrectionError, 400),
    (UsageError, 400),
    (PolicyError, 400),
    (ConflictError, 409),
    (LedgerBusy, 409),
    (StorageFull, 507),
)
_MEANINGS = {
    400: "The request cannot be done as it is; the message says why.",
    401: "A token is needed, or the one that was sent is unknown or revoked.",
    403: "The token, or a page of another site, may not do this.",
    404: "There is no such thing.",
    409: "Something else was changed first: read again and retry.",
    413: "The body is too large.",
    422: "A parameter or the body has another form than this document says.",
    429: "Too many questions are being answered: ask again after the seconds of Retry-After.",
    500: "An unexpected error; the log of `guardedit run` has more.",
    503: "The coordinator or its ledger cannot do this now.",
    507: "The disk is full; nothing of the request was kept.",
}


class ErrorMessage(BaseModel):
    """What is wrong, and what to do about it."""

    message: str


class ErrorBody(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorMessage


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The descriptions of these errors for the OpenAPI document."""
    return {status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in statuses}


def problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that is no success."""
    usual = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
    headers = {**usual.get(status, {}), **(headers or {})}
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)


async def on_error(_: Request, error: Exception) -> JSONResponse:
    """Any error that is raised on purpose."""
    if isinstance(error, Refused):
        return problem(error.status, str(error))
    assert isinstance(error, GuardeditError)
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
    return problem(status, str(error))


async def on_bad_request(_: Request, error: Exception) -> JSONResponse:
    """A parameter or a body that is not what the document says: names the first wrong part."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return problem(422, f"{place}: {first['msg']}".encode("utf-8", "backslashreplace").decode())


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    """An unknown path or method."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), error.headers)


async def on_fault(_: Request, error: Exception) -> JSONResponse:
    """An error that nobody expected. It is logged by the server."""
    return problem(500, f"an unexpected {type(error).__name__}: the log of `guardedit run` has more")
