"""What a client is told about a body that is not what the schema says."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from guardedit.gateway.openai.failures import on_bad_request
from guardedit.gateway.openai.schema import ChatRequest, CompletionRequest

USER = {"role": "user", "content": "Oslo is in"}


def told(kind: type[ChatRequest | CompletionRequest], body: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()]
    answer = asyncio.run(on_bad_request(cast("Any", None), RequestValidationError(errors)))
    assert answer.status_code == 400
    found: dict[str, Any] = json.loads(answer.body)["error"]
    return found


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"prompt": ["Oslo", 5]}, "prompt.1", "Input should be a valid string"),
        ({"prompt": [1, 2]}, "prompt.0", "Input should be a valid string"),
        ({"prompt": []}, "prompt", "List should have at least 1 item"),
        ({"prompt": "x\ud800"}, "prompt", "not valid Unicode at character 1"),
        ({"prompt": "Oslo", "stop": ["a"] * 17}, "stop", "List should have at most 16 items"),
        ({"prompt": "Oslo", "stop": ["a", 5]}, "stop.1", "Input should be a valid string"),
        ({"prompt": "Oslo", "stop": 5}, "stop", "Input should be a valid string"),
    ],
)
def test_a_field_is_named_as_the_client_wrote_it(body: dict[str, Any], param: str, says: str):
    error = told(CompletionRequest, body)
    assert error["param"] == param
    assert error["message"].startswith(f"{param}: {says}")


def test_a_part_of_a_message_is_named_by_its_place():
    parts = [{"type": "text", "text": "x"}, {"type": "text", "text": 5}]
    error = told(ChatRequest, {"messages": [USER, {"role": "user", "content": parts}]})
    assert error["param"] == "messages.1.content.1.text"
    error = told(ChatRequest, {"messages": [{"role": "user", "content": "\ud800"}]})
    assert error["param"] == "messages.0.content"
