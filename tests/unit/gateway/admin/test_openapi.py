"""The OpenAPI document of the operators' interface, compared with what it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardedit.core.messages import Delivery
from guardedit.gateway.admin.serving import admin_server
from guardedit.policy.load import load_policy
from guardedit.runtime.opening import inbox
from guardedit.settings import Address, Settings
from tests.openapi_check import check_document
from tests.unit.gateway.admin.conftest import Desk, hq

pytestmark = pytest.mark.slow

#: Texts of a correction have rules that a JSON schema cannot say, such as no control characters, and how long
#: a question may be depends on the model.
CONFIG = """
[[operations]]
include-path = ["/v1/corrections", "/v1/ask", "/v1/playground"]
checks.positive_data_acceptance.enabled = false
"""


def test_the_document_says_what_is_answered(desk: Desk, tmp_path: Path):
    # What generated requests name: numbers, and short texts.
    desk.submit(*(hq(f"{n}", "Oslo", id=f"o-{n}") for n in range(2, 5)))
    doubtful = {"confidence": 0.1}
    desk.submit(*(hq(f"Held {n}", "Oslo", id=str(n), provenance=doubtful) for n in range(4)))
    settings = Settings(
        home=desk.home, policy=desk.home / "policy.yaml", metrics=None, admin_reading="tokens"
    )
    with inbox(settings) as ledger:
        ledger.receive([Delivery(raw=b"no JSON", source="file", position=str(n)) for n in range(5)])
    desk.settle()
    with admin_server(settings, load_policy(settings.policy), desk.system, Address("127.0.0.1", 0)) as url:
        sent = check_document(
            url, tmp_path, token=desk.secrets["admin"], config=CONFIG, excluded="/v1/events"
        )
    assert sent > 200


def test_every_operation_is_described(desk: Desk):
    paths = desk.get("/openapi.json")["paths"]
    assert len(paths) >= 24
    for path, operations in paths.items():
        for operation in operations.values():
            assert operation["description"], path
            if path.startswith("/v1"):
                assert {"400", "401", "403", "404", "409", "422", "500", "503"} <= set(operation["responses"])
                assert operation["security"] == [{"HTTPBearer": []}]
