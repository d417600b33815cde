"""The operators' interface on a running coordinator: who may do what, and that it is done and recorded."""

from __future__ import annotations

import json
from urllib.parse import quote

import httpx
import pytest

from guardedit.core.errors import UsageError
from guardedit.core.verdict import LostAnswer
from guardedit.gateway.admin.serving import admin_server
from guardedit.gateway.admin.tokens import Role, Tokens
from guardedit.policy.load import load_policy
from guardedit.runtime.coordinator_access import operating
from guardedit.settings import Address, Settings
from tests.unit.gateway.admin.conftest import Desk, hq


def facts(desk: Desk) -> dict[str, dict]:
    return {fact["subject"]: fact for fact in desk.get("/v1/facts?limit=1000")["facts"]}


def test_a_correction_is_submitted_shown_undone_redone_and_rolled_back(desk: Desk):
    before = desk.get("/v1/status")["epoch"]
    (name,) = desk.submit(hq("Stelco", "Hamilton", id="a-1"))
    assert name == "a-1"
    fact = facts(desk)["Stelco"]
    assert (fact["target"], fact["placement"], fact["correction"]) == ("Hamilton", "memory", "a-1")
    asked = {"question": "The headquarters of Stelco are in"}
    said = desk.call("POST", "/v1/ask", json=asked).json()
    assert (said["answer"], said["facts"]) == ("Hamilton", [fact["id"]])
    story = [one["step"] for one in desk.get("/v1/explain/a-1")["story"]]
    assert story == ["received", "decided", "remembered", "now"]

    undone = desk.post(f"/v1/facts/{fact['id']}/undo", "operator")
    assert undone.json()["kind"] == "undo"
    assert "Stelco" not in facts(desk)
    assert desk.call("POST", "/v1/ask", json=asked).json()["answer"] != "Hamilton"
    assert desk.post(f"/v1/facts/{fact['id']}/redo", "operator").status_code == 200
    assert facts(desk)["Stelco"]["id"] == fact["id"]
    rolled = desk.post(f"/v1/epochs/{before}/rollback", "operator", {"facts_too": True})
    assert rolled.json()["kind"] == "rollback"
    assert "Stelco" not in facts(desk)
    assert desk.get(f"/v1/epochs/{rolled.json()['epoch']}")["removed"]
    audit = [(one["who"], one["action"]) for one in desk.get("/v1/audit")["audit"]]
    assert audit[-4:] == [
        ("submitter", "submit"), ("operator", "undo"), ("operator", "redo"), ("operator", "rollback"),
    ]  # fmt: skip


def test_facts_of_another_time_are_those_that_held_then(desk: Desk):
    desk.submit(hq("Quirin", "Lima", valid_from_s=0.0), hq("Quirin", "Oslo", valid_from_s="2001-01-01"))

    def at(time: str) -> list[str]:
        found = desk.get(f"/v1/facts?search=Quirin&as_of={time}")["facts"]
        return [fact["target"] for fact in found]

    assert at("1969-12-31T00:00:00Z") == []
    assert at("2000-12-31T23:59:59Z") == ["Lima"]
    assert at("2001-01-01T00:00:00Z") == ["Oslo"]
    assert at("2001-01-01T00:30:00%2B01:00") == ["Lima"]
    for wrong in ("yesterday", "0.5", "2005-06-30", "2005-06-30T00:00:00"):
        assert desk.call("GET", f"/v1/facts?as_of={wrong}").status_code == 422


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/v1/corrections", "submitter"),
        ("/v1/facts/x/undo", "operator"),
        ("/v1/facts/x/redo", "operator"),
        ("/v1/facts/x/release", "operator"),
        ("/v1/epochs/0/rollback", "operator"),
        ("/v1/held/x/approve", "approver"),
        ("/v1/held/x/reject", "approver"),
        ("/v1/dead-letters/1/retry", "operator"),
        ("/v1/dead-letters/1/drop", "operator"),
        ("/v1/policy/reload", "admin"),
    ],
)
def test_every_change_needs_a_token_of_its_role(desk: Desk, path: str, needed: str):
    answers = {
        role: desk.post(path, role).status_code for role in ("viewer", "submitter", "approver", "operator")
    }
    refused = {role for role, status in answers.items() if status == 403}
    assert refused == {"viewer", "submitter", "approver", "operator"} - {needed}
    assert desk.call("POST", path).status_code == 401
    assert desk.call("POST", path, headers={"authorization": "Bearer gde_guess"}).status_code == 401
    assert desk.call("POST", path, headers={"authorization": "Basic YTpi"}).status_code == 401


def test_a_revoked_token_ends_at_once(desk: Desk):
    tokens = Tokens(desk.home)
    secret = tokens.add("guest", Role.OPERATOR, at_s=1.0)
    assert secret not in (desk.home / "tokens.json").read_text()
    assert (desk.home / "tokens.json").stat().st_mode & 0o077 == 0
    headers = {"authorization": f"Bearer {secret}"}
    assert desk.call("GET", "/v1/whoami", headers=headers).json() == {"name": "guest", "role": "operator"}
    tokens.revoke("guest")
    assert desk.call("GET", "/v1/whoami", headers=headers).status_code == 401


def test_names_of_tokens_are_checked(desk: Desk):
    tokens = Tokens(desk.home)
    for name in ("", "Ann", "../x", "a" * 65):
        with pytest.raises(UsageError, match="no name of a token"):
            tokens.add(name, Role.VIEWER, at_s=1.0)
    with pytest.raises(UsageError, match="already"):
        tokens.add("viewer", Role.VIEWER, at_s=1.0)
    with pytest.raises(UsageError, match="no token 'nobody'"):
        tokens.revoke("nobody")


def test_a_source_belongs_to_its_token(desk: Desk):
    desk.submit(hq("Acme", "Oslo", id="r-1"), role="registry")
    entry = next(one for one in desk.get("/v1/explain/r-1")["story"] if one["step"] == "received")
    assert "http:registry-feed" in entry["text"]
    claimed = hq("Acme", "Rome", id="r-2", provenance={"source": "registry"})
    refused = desk.post("/v1/corrections", "submitter", claimed)
    assert refused.status_code == 403
    assert "belongs to another token" in refused.json()["error"]["message"]
    other = hq("Acme", "Rome", id="r-3", provenance={"source": "rumours"})
    assert desk.post("/v1/corrections", "registry", other).status_code == 403


def test_a_held_correction_is_decided_by_another_person(desk: Desk):
    doubtful = {"provenance": {"confidence": 0.2}}
    desk.submit(hq("Borealis", "Vienna", id="h-1", **doubtful), hq("Cetus", "Rome", id="h-2", **doubtful))
    assert {one["correction"] for one in desk.get("/v1/held")["held"]} == {"h-1", "h-2"}
    assert desk.post("/v1/held/h-1/approve", "approver").status_code == 200
    reason = {"reason": "it is not true"}
    assert desk.post("/v1/held/h-2/reject", "approver", reason).status_code == 200
    desk.settle()
    assert facts(desk)["Borealis"]["target"] == "Vienna"
    assert "Cetus" not in facts(desk)
    told = [one["text"] for one in desk.get("/v1/explain/h-2")["story"] if one["step"] == "decided"]
    assert told[-1] == "rejected: approver: it is not true"
    assert desk.post("/v1/held/h-2/reject", "approver").status_code == 404
    desk.submit(hq("Dorado", "Rome", id="h-3", **doubtful), role="admin")
    refused = desk.post("/v1/held/h-3/approve", "admin")
    assert (refused.status_code, "another person" in refused.text) == (403, True)
    assert desk.post("/v1/held/h-3/reject", "admin").status_code == 200


def test_a_rejected_trial_shows_its_facts_and_the_answers_that_it_lost(desk: Desk):
    desk.submit(hq("Draco", "Oslo", id="t-1"))
    fact = facts(desk)["Draco"]
    lost = LostAnswer(question="Who leads Draco?", expected="Ann", answer="Bob")
    number = desk.reject_trial(lost, facts=[fact["id"], "0" * 16])
    assert desk.get("/v1/epochs")["rejected"][-1]["outcome"] == "reject"
    found = desk.get(f"/v1/trials/{number}")
    assert (found["trial"], found["edits"], found["facts"]) == (number, 1, [fact])
    assert found["verdict"]["gates"][0]["lost"] == [
        {"question": "Who leads Draco?", "expected": "Ann", "answer": "Bob"}
    ]
    for other in (number - 1, number + 1, 0, 10**18 - 1):
        answer = desk.call("GET", f"/v1/trials/{other}")
        assert answer.status_code == 404
        assert f"there is no trial {other}" in answer.text


def test_many_corrections_are_stored_or_none(desk: Desk):
    body = [hq("Eos", "Oslo", id="m-1"), {"subject": "Eos"}]
    answer = desk.post("/v1/corrections", "submitter", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("correction 2: ")
    desk.settle()
    assert "Eos" not in facts(desk)


def test_cloud_events_are_corrections(desk: Desk):
    event = {
        "specversion": "1.0", "id": "ce-1", "type": "fact.changed", "source": "/crm",
        "datacontenttype": "application/json", "data": hq("Fornax", "Lima"),
    }  # fmt: skip
    (name,) = desk.submit(event)
    assert name == "ce-1"
    desk.submit(event)  # sent twice, it counts once
    assert [one["step"] for one in desk.get("/v1/explain/ce-1")["story"]].count("remembered") == 1
    assert facts(desk)["Fornax"]["target"] == "Lima"
    data = hq("Fornax", "Rome", provenance={"signature": "of another scheme"})
    assert desk.submit({**event, "id": "ce-2", "data": data}) == ["ce-2"]
    for wrong in ({"data": 5}, {"data_base64": "e30="}):
        said = desk.post("/v1/corrections", "submitter", {**event, "data": None, **wrong})
        assert said.status_code == 400
        assert "`data` of a CloudEvent must be the correction" in said.text


def test_ids_may_have_slashes(desk: Desk):
    name = "https://crm.example/facts/7?x=1"
    desk.submit(hq("AC/DC", "Oslo", id=name, provenance={"confidence": 0.1}))
    path = quote(name, safe="")
    assert desk.post(f"/v1/held/{path}/approve", "approver").status_code == 200
    desk.settle()
    assert desk.get(f"/v1/explain/{path}")["story"]
    assert desk.get("/v1/facts/AC%2FDC")["facts"][0]["target"] == "Oslo"
    assert desk.post("/v1/facts/AC%2FDC/undo", "operator").status_code == 200


def test_a_redo_of_several_facts_names_them(desk: Desk):
    desk.submit(
        hq("Volans", "Oslo", id="v-1"),
        {
            "subject": "Volans",
            "relation": "P112",
            "prompt": "The founder of {} is",
            "target_new": "Anne",
            "id": "v-2",
        },
    )
    ids = [fact["id"] for fact in desk.get("/v1/facts/Volans")["facts"]]
    for one in ids:
        assert desk.post(f"/v1/facts/{one}/undo", "operator").status_code == 200
    answer = desk.post("/v1/facts/Volans/redo", "operator")
    assert answer.status_code == 400
    assert all(one in answer.json()["error"]["message"] for one in ids)


def test_dead_letters_are_read_again_or_dropped(desk: Desk):
    from guardedit.core.messages import Delivery
    from guardedit.runtime.opening import inbox

    settings = Settings(home=desk.home, metrics=None)
    with inbox(settings) as ledger:
        ledger.receive([Delivery(raw=b"<script>alert(1)</script>", source="file", position="1")])
    desk.settle()
    (letter,) = desk.get("/v1/dead-letters")["dead_letters"]
    assert letter["raw"] == "<script>alert(1)</script>"
    assert desk.post(f"/v1/dead-letters/{letter['number']}/explode", "operator").status_code == 404
    assert desk.post(f"/v1/dead-letters/{letter['number']}/drop", "operator").status_code == 200
    assert desk.get("/v1/dead-letters")["dead_letters"] == []
    assert desk.post(f"/v1/dead-letters/{letter['number']}/drop", "operator").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/facts/nothing", 404),
        ("GET", "/v1/epochs/99999", 404),
        ("GET", "/v1/epochs/-1", 422),
        ("GET", "/v1/epochs/1e3", 422),
        ("GET", "/v1/explain/nothing", 404),
        ("GET", "/v1/facts?limit=0", 422),
        ("GET", "/v1/facts?unknown=1", 422),
        ("POST", "/v1/facts/nothing/undo", 404),
        ("POST", "/v1/epochs/99999/rollback", 404),
        ("POST", "/v1/held/nothing/approve", 404),
        ("POST", "/v1/corrections", 400),
        ("GET", "/page/../tokens.json", 404),
        ("GET", "/page/%2e%2e%2ftokens.json", 404),
        ("PUT", "/v1/facts", 405),
    ],
)
def test_what_does_not_exist_is_said(desk: Desk, method: str, path: str, status: int):
    answer = desk.call(method, path, "admin")
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_the_command_line_reaches_the_running_coordinator(desk: Desk):
    desk.submit(hq("Grus", "Oslo", id="c-1"))
    fact = facts(desk)["Grus"]
    with operating(Settings(home=desk.home, policy=desk.home / "policy.yaml", metrics=None)) as system:
        assert system.undo(fact["id"]).kind == "undo"
        assert system.redo(fact["id"]).kind == "redo"
        with pytest.raises(UsageError, match="nothing"):
            system.undo("nothing")
    assert (desk.home / "admin.json").stat().st_mode & 0o077 == 0
    assert desk.get("/v1/audit")["audit"][-1]["who"] == "command-line"


def test_behind_a_reverse_proxy_reading_needs_a_token_too(desk: Desk):
    settings = Settings(home=desk.home, policy=desk.home / "policy.yaml", admin_reading="tokens")
    policy = load_policy(settings.policy)
    with admin_server(settings, policy, desk.system, Address("127.0.0.1", 0)) as url:
        assert httpx.get(f"{url}/v1/status").status_code == 401
        headers = {"authorization": f"Bearer {desk.secrets['viewer']}"}
        assert httpx.get(f"{url}/v1/status", headers=headers).status_code == 200
        assert httpx.get(f"{url}/healthz").status_code == 200
    with pytest.raises(UsageError, match="give TLS"):
        admin_server(settings, policy, desk.system, Address("10.0.0.1", 0)).__enter__()


def test_the_page_is_served_with_a_strict_policy(desk: Desk):
    answer = desk.call("GET", "/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for name in ("page.js", "chart.js", "page.css"):
        assert desk.call("GET", f"/page/{name}").status_code == 200
        assert f"/page/{name}" in answer.text
    assert "http://" not in answer.text + desk.call("GET", "/page/page.css").text


def test_the_state_comes_as_events(desk: Desk):
    with httpx.stream("GET", f"{desk.url}/v1/events", timeout=30) as stream:
        line = next(one for one in stream.iter_lines() if one)
    assert json.loads(line.removeprefix("data: "))["epoch"] == desk.get("/v1/status")["epoch"]


def test_another_host_name_is_refused(desk: Desk):
    assert desk.call("GET", "/v1/status", headers={"host": "evil.example"}).status_code == 403


def test_health_can_say_no(desk: Desk, monkeypatch):
    assert desk.call("GET", "/healthz").json()["status"] == "ok"
    assert desk.call("GET", "/readyz").status_code == 200

    def broken():
        raise UsageError("the ledger is gone")

    monkeypatch.setattr(desk.system, "epoch", broken)
    answer = desk.call("GET", "/healthz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["the ledger is gone"])


def test_the_metrics_are_those_of_the_exporter(desk: Desk):
    desk.submit(hq("Indus", "Oslo", id="x-1"))
    answer = desk.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    page, _ = desk.system.coordinator.metrics()
    families = {line for line in page.decode().splitlines() if line.startswith("# TYPE")}
    assert len(families) > 10
    assert families == {line for line in answer.text.splitlines() if line.startswith("# TYPE")}
    (epoch,) = [line for line in answer.text.splitlines() if line.startswith("guardedit_serving_epoch{")]
    assert float(epoch.split()[1]) == desk.get("/v1/status")["epoch"]
    wanted = {"accept": "application/openmetrics-text; version=1.0.0"}
    other = desk.call("GET", "/metrics", headers=wanted)
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.text.endswith("# EOF\n")


def test_where_reading_needs_a_token_the_metrics_do_too(desk: Desk):
    settings = Settings(home=desk.home, policy=desk.home / "policy.yaml", admin_reading="tokens")
    with admin_server(settings, load_policy(settings.policy), desk.system, Address("127.0.0.1", 0)) as url:
        assert httpx.get(f"{url}/metrics").status_code == 401
        headers = {"authorization": f"Bearer {desk.secrets['viewer']}"}
        assert httpx.get(f"{url}/metrics", headers=headers).status_code == 200
