"""Corrections that several people have to approve, over HTTP and beside it on the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guardedit.gateway.admin.tokens import Role, Tokens
from tests.unit.cli.conftest import command
from tests.unit.gateway.admin.conftest import Desk, hq, opened_desk

POLICY = """
apiVersion: guardedit/v1
rules:
  - id: people
    match: {tag: person}
    route: hold
    approvals: 2
    approvers: [anna, bob, sam]
    approval_ttl_s: 3600
    why: two editors have to agree about a person
  - {id: any, match: {tag: any}, route: hold, approvals: 2, why: any two people}
  - {id: rest, route: memory, why: everything else is remembered}
memory: {unsure: use_fact}
"""


@pytest.fixture(scope="module")
def editors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    people = dict.fromkeys(("anna", "bob", "cleo"), (Role.APPROVER, ""))
    with opened_desk(tmp_path_factory.mktemp("editors"), POLICY, **people, sam=(Role.ADMIN, "")) as opened:
        yield opened


def held(desk: Desk, name: str) -> dict:
    return next(one for one in desk.get("/v1/held")["held"] if one["correction"] == name)


def test_two_of_three_editors_agree(editors: Desk):
    editors.submit(hq("Stelco", "Hamilton", id="p-1", tags=["person"]))
    shown = held(editors, "p-1")
    assert (shown["approvals_needed"], shown["approved_by"]) == (2, [])
    assert shown["approvers"] == ["anna", "bob", "sam"]
    refused = editors.post("/v1/held/p-1/approve", "cleo")
    assert (refused.status_code, "names anna, bob, sam" in refused.text) == (403, True)
    body = {"content_sha256": shown["content_sha256"]}
    first = editors.post("/v1/held/p-1/approve", "anna", body).json()
    assert (first["approved"], first["approvals_missing"], first["approved_by"]) == (False, 1, ["anna"])
    again = editors.post("/v1/held/p-1/approve", "anna", body).json()
    assert (again["approved"], again["approvals_missing"]) == (False, 1)
    editors.settle()
    now_s = editors.get("/v1/status")["since_s"]
    assert now_s + 3000 < held(editors, "p-1")["approvals_expire_at_s"]
    last = editors.post("/v1/held/p-1/approve", "bob", body).json()
    assert (last["approved"], last["approved_by"]) == (True, ["anna", "bob"])
    editors.settle()
    assert editors.get("/v1/facts/Stelco")["facts"][0]["live"]
    told = [one["text"] for one in editors.get("/v1/explain/p-1")["story"] if one["step"] == "approved"]
    assert told == ["by anna", "by anna", "by bob"]
    audit = [one["who"] for one in editors.get("/v1/audit")["audit"] if one["action"] == "approve"]
    assert audit[-3:] == ["anna", "anna", "bob"]


def test_what_is_approved_is_shown_whole(editors: Desk):
    more = {
        "tenant": "acme",
        "aliases": ["Steel Company of Canada"],
        "paraphrases": ["{} is based in"],
        "valid_until_s": 4e9,
        "tags": ["person"],
    }
    editors.submit({**hq("Stelco", "Lima", id="p-7"), **more})
    shown = held(editors, "p-7")
    assert {name: shown[name] for name in ("op", "relation", "valid_from_s", *more)} == {
        "op": "upsert", "relation": "P159", "valid_from_s": None, **more,
    }  # fmt: skip
    gone = {**hq("Stelco", "", id="p-8", tags=["person"]), "op": "retract"}
    del gone["target_new"]
    editors.submit(gone)
    assert held(editors, "p-8")["op"] == "retract"


def test_the_submitter_is_none_of_them(editors: Desk):
    editors.submit(hq("Acme", "Oslo", id="p-2", tags=["person"]), role="sam")
    refused = editors.post("/v1/held/p-2/approve", "sam")
    assert (refused.status_code, "'sam' submitted this correction" in refused.text) == (403, True)
    assert editors.post("/v1/held/p-2/approve", "anna").json()["approvals_missing"] == 1
    assert editors.post("/v1/held/p-2/reject", "cleo").status_code == 200
    assert editors.post("/v1/held/p-2/approve", "bob").status_code == 404


def test_another_content_is_not_approved(editors: Desk):
    editors.submit(hq("Eos", "Oslo", id="p-3", tags=["person"]))
    wrong = editors.post("/v1/held/p-3/approve", "anna", {"content_sha256": "0" * 64})
    assert (wrong.status_code, "another content" in wrong.text) == (409, True)
    for body in ({"content_sha256": "x"}, {"content": "0"}, []):
        assert editors.post("/v1/held/p-3/approve", "anna", body).status_code == 422
    assert held(editors, "p-3")["approved_by"] == []


def test_the_command_line_approves_in_the_name_of_a_token(editors: Desk, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_HOME", str(editors.home))
    editors.submit(hq("Grus", "Oslo", id="p-4", tags=["person"]))
    nobody = command("held", "approve", "p-4")
    assert (nobody.code, "'command-line' is not an approver" in nobody.err) == (2, True)
    monkeypatch.setenv("GUARDEDIT_TOKEN", "gde_guess")
    assert "unknown or revoked" in command("held", "approve", "p-4").err
    monkeypatch.setenv("GUARDEDIT_TOKEN", editors.secrets["submitter"])
    assert "needs an approver" in command("held", "approve", "p-4").err
    monkeypatch.setenv("GUARDEDIT_TOKEN", editors.secrets["anna"])
    done = command("held", "approve", "p-4")
    assert done.out.startswith("p-4: 1 of 2 approved (by anna); 1 more to come, before 20")
    (row,) = [one for one in command("held", "list", "-o", "json").json if one["correction"] == "p-4"]
    assert row["approved"].startswith("1 of 2 approved (by anna), expires 20")
    monkeypatch.setenv("GUARDEDIT_TOKEN", editors.secrets["bob"])
    assert command("held", "approve", "p-4").out.endswith("released, waits for the coordinator\n")


def test_who_submits_on_the_command_line_is_no_second_person(editors: Desk, monkeypatch, tmp_path):
    monkeypatch.setenv("GUARDEDIT_HOME", str(editors.home))
    monkeypatch.delenv("GUARDEDIT_TOKEN", raising=False)
    line = tmp_path / "c.jsonl"
    line.write_text(
        '{"id": "p-5", "subject": "Lyra", "prompt": "{} is in", "target_new": "Oslo", "tags": ["any"]}'
    )
    assert command("submit", line).code == 0
    editors.settle()
    own = command("held", "approve", "p-5")
    assert (own.code, "'command-line' submitted this correction" in own.err) == (2, True)
    editors.submit(hq("Vela", "Oslo", id="p-6", tags=["any"]))
    assert "1 more to come\n" in command("held", "approve", "p-6").out
    assert "1 more to come\n" in command("held", "approve", "p-6").out
    assert editors.post("/v1/held/p-6/approve", "cleo").json()["approved"]


def test_no_token_takes_the_name_of_the_command_line(editors: Desk):
    from guardedit.core.errors import UsageError

    for name in ("command-line", "anyone"):
        with pytest.raises(UsageError, match="another meaning"):
            Tokens(editors.home).add(name, Role.APPROVER, at_s=1.0)
