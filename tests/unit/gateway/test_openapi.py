"""The OpenAPI document of the served model, compared with what it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.openapi_check import check_document
from tests.unit.gateway.conftest import Running

pytestmark = pytest.mark.slow

#: What a conversation must hold, such as a question, and how long it may be, a JSON schema cannot say.
CONFIG = """
[[operations]]
include-path = ["/v1/chat/completions", "/v1/completions"]
checks.positive_data_acceptance.enabled = false
"""


def test_the_document_says_what_is_answered(running: Running, tmp_path: Path):
    assert check_document(running.url, tmp_path, config=CONFIG) > 200


def test_a_stream_is_in_the_document(running: Running):
    operation = running.served.app.openapi()["paths"]["/v1/completions"]["post"]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "422" not in operation["responses"]
