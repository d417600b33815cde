"""Errors in the form of OpenAI's API, so that its clients raise their usual exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from guardedit.core.errors import CorrectionError, GuardeditError, UsageError
from guardedit.gateway.models import UnknownModel
from guardedit.models.streaming.engine import Busy


class FailureDetail(BaseModel):
    """What is wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Failure(BaseModel):
    """The body of every answer that is no success."""

    error: FailureDetail


#: The errors of every operation, for the OpenAPI document.
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "The request cannot be answered as it is."},
    401: {"model": Failure, "description": "The key of this server is missing or wrong."},
    404: {"model": Failure, "description": "There is no such model."},
    413: {"model": Failure, "description": "The body is too large."},
    429: {"model": Failure, "description": "Too many requests wait; Retry-After says when to come back."},
    "4XX": {"model": Failure, "description": "Any other request that is refused."},
    500: {"model": Failure, "description": "An unexpected error."},
    503: {"model": Failure, "description": "The model cannot answer now."},
}

#: Seconds after which a client may try again when too many requests wait.
RETRY_S = 1
_NO_OBJECT = "the body is not a JSON object: send one with the header Content-Type: application/json"


def error_body(
    message: str, *, kind: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """The body of an error."""
    # What a message quotes may be half a surrogate pair, which no answer can hold.
    message = message.encode("utf-8", "backslashreplace").decode()
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failed(error: BaseException) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Status, body and headers for an error."""
    text = str(error)
    if isinstance(error, Busy):
        busy = error_body(text, kind="rate_limit_error", code="too_many_requests")
        return 429, busy, {"Retry-After": str(RETRY_S)}
    if isinstance(error, UnknownModel):
        return 404, error_body(text, kind="invalid_request_error", code="model_not_found", param="model"), {}
    if isinstance(error, CorrectionError | UsageError):
        return 400, error_body(text, kind="invalid_request_error"), {}
    if isinstance(error, GuardeditError):  # such as too little memory at this moment
        return 503, error_body(text, kind="server_error"), {"Retry-After": str(RETRY_S)}
    return 500, error_body(f"{type(error).__name__}: {text}", kind="server_error"), {}


async def on_error(_: Request, error: Exception) -> JSONResponse:
    """Any error of a request."""
    status, body, headers = failed(error)
    return JSONResponse(body, status_code=status, headers=dict(headers))


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    """An unknown path or method."""
    assert isinstance(error, HTTPException)
    body = error_body(str(error.detail), kind="invalid_request_error")
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def on_bad_request(_: Request, error: Exception) -> JSONResponse:
    """A body that is not what the schema says: names the first wrong field."""
    assert isinstance(error, RequestValidationError)
    # Of a field that takes a text or a list, a list is told what is wrong with it as a list.
    errors = error.errors()
    first = next((one for one in errors if not _is_list_for_text(one)), errors[0])
    if first["type"] in ("model_attributes_type", "json_invalid"):
        body = error_body(_NO_OBJECT, kind="invalid_request_error")
        return JSONResponse(body, status_code=400)
    place = ".".join(str(part) for part in first["loc"] if _is_named(part))
    reason = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "there is no such field: leave it out"
    message = f"{place}: {reason}" if place else reason
    body = error_body(message, kind="invalid_request_error", param=place or None)
    return JSONResponse(body, status_code=400)


def _is_list_for_text(error: Mapping[str, Any]) -> bool:
    return error["type"] == "string_type" and isinstance(error["input"], list)


def _is_named(part: str | int) -> bool:
    """Whether a part of an error's place is a field or an index, and not the name of a Python type."""
    return isinstance(part, int) or (part.isidentifier() and part not in ("body", "str"))
