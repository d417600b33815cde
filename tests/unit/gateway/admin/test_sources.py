"""Signed corrections over HTTP, and the undo of everything that a source or a key wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from guardedit.gateway.admin.tokens import Role
from guardedit.runtime.coordinator_access import operating
from guardedit.settings import Settings
from guardedit.signing.keys import SigningKey, sign_message
from tests.unit.gateway.admin.conftest import Desk, hq, opened_desk

KEY = SigningKey(name="reg-1", source="registry", seed=b"k" * 32)
POLICY = f"""
apiVersion: guardedit/v1
sources: [{{name: registry, keys: [{{id: reg-1, ed25519: {KEY.public}}}]}}]
rules: [{{id: rest, route: memory, why: everything is remembered}}]
memory: {{unsure: use_fact}}
"""


@pytest.fixture(scope="module")
def signing_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("signing")
    with opened_desk(home, POLICY, press=(Role.SUBMITTER, "press")) as opened:
        yield opened


def signed(subject: str, target: str, **more: Any) -> dict[str, Any]:
    return json.loads(sign_message(json.dumps(hq(subject, target, **more)).encode(), KEY, default_id="none"))


def test_signed_corrections_pass_as_they_are(signing_desk: Desk):
    spaced = json.dumps(signed("Stelco", "Hamilton", id="s-1", valid_until_s=4e9), indent=3)
    answer = signing_desk.call("POST", "/v1/corrections", "submitter", content=spaced)
    assert answer.json() == {"corrections": ["s-1"]}
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/x",
        "type": "t",
        "data": signed("Acme", "Oslo", id="s-2"),
    }
    signing_desk.submit(event, signed("Eos", "Rome", id="s-3"))
    assert signing_desk.get("/v1/dead-letters")["dead_letters"] == []
    told = [one["text"] for one in signing_desk.get("/v1/explain/s-2")["story"]]
    assert any("signed by key reg-1" in text for text in told)
    assert signing_desk.get("/v1/facts/Stelco")["facts"][0]["signed_by"] == "reg-1"


def test_a_token_cannot_submit_what_was_signed_for_another_source(signing_desk: Desk):
    refused = signing_desk.post("/v1/corrections", "press", signed("Acme", "Lima", id="p-1"))
    assert (refused.status_code, "not for 'registry'" in refused.text) == (403, True)
    bare = signed("Acme", "Lima", id="p-2")
    bare["provenance"].pop("source")
    refused = signing_desk.post("/v1/corrections", "press", bare)
    assert (refused.status_code, "sign it under that source" in refused.text) == (403, True)


def test_forged_corrections_become_dead_letters_with_the_reason(signing_desk: Desk):
    forged = {**signed("Acme", "Oslo", id="f-1"), "target_new": "Lima"}
    claimed = hq("Acme", "Lima", id="f-2", provenance={"source": "REGISTRY"})
    signing_desk.submit(forged, claimed)
    letters = signing_desk.get("/v1/dead-letters")["dead_letters"]
    assert [letter["reason"] for letter in letters] == ["signature", "signature"]
    assert "'reg-1' of the source 'registry' did not sign" in letters[0]["message"]
    assert "another spelling of 'registry'" in letters[1]["message"]


def test_an_undo_by_source_needs_an_operator_and_is_recorded(signing_desk: Desk):
    signing_desk.submit(hq("Grus", "Oslo", id="g-1"))
    signing_desk.submit(signed("Grus", "Lima", id="g-2"), signed("Lyra", "Rome", id="g-3"))
    path = "/v1/sources/registry/undo"
    for role, status in (("viewer", 403), ("submitter", 403), ("approver", 403)):
        assert signing_desk.post(path, role).status_code == status
    assert signing_desk.post("/v1/sources/nobody/undo", "operator").status_code == 404
    assert signing_desk.post(path, "operator", {"key": "reg-9"}).status_code == 404
    assert signing_desk.post(path, "operator", {"keys": "x"}).status_code == 422
    done = signing_desk.post(path, "operator", {"key": "reg-1"})
    assert (done.status_code, done.json()["kind"]) == (200, "undo")
    live = {fact["subject"]: fact["target"] for fact in signing_desk.get("/v1/facts")["facts"]}
    assert live["Grus"] == "Oslo"
    assert "Lyra" not in live
    assert signing_desk.post(path, "operator").status_code == 400  # nothing is left
    last = signing_desk.get("/v1/audit")["audit"][-1]
    assert (last["who"], last["action"], last["target"]) == ("operator", "undo source", "registry, key reg-1")


def test_the_command_line_undoes_by_source_beside_the_coordinator(signing_desk: Desk):
    signing_desk.submit(signed("Vela", "Rome", id="v-1"))
    settings = Settings(home=signing_desk.home, policy=signing_desk.home / "policy.yaml", metrics=None)
    with operating(settings) as system:
        assert system.undo_source("registry", "reg-1").kind == "undo"
    assert "Vela" not in {fact["subject"] for fact in signing_desk.get("/v1/facts")["facts"]}
