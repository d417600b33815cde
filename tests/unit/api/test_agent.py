"""`guardedit.open` on the demo model, with the policy that keeps everything in memory."""

from __future__ import annotations

import httpx
import pytest
from typer.testing import CliRunner

import guardedit
from guardedit.cli.main import app
from guardedit.core.errors import LedgerBusy, MalformedCorrection
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.signing.keys import new_key, write_key
from tests.llama_cpp import greedy, llama_server, write_model

pytestmark = pytest.mark.slow  # loads the demo model

QUESTION = "The headquarters of Stelco are in"


def body(target="Hamilton", **more):
    prompt = "The headquarters of {} are in"
    return {"subject": "Stelco", "relation": "P159", "prompt": prompt, "target_new": target, **more}


@pytest.fixture
def agent(settings):
    with guardedit.open(settings.home, policy="memory-only") as agent:
        yield agent


def test_a_correction_is_settled_asked_undone_and_brought_back(agent):
    name = agent.submit(body())
    (receipt,) = agent.settle()
    assert (receipt.correction_id, receipt.fate) == (name, guardedit.Fate.ACCEPTED)
    assert agent.settle() == []

    answer = agent.ask(QUESTION)
    (fact,) = agent.facts()
    assert (answer.text, answer.placement, answer.facts) == ("Hamilton", "memory", (fact.id,))
    assert answer.epoch == agent.epochs()[-1].number

    agent.undo(fact.id)
    assert agent.facts() == []
    assert agent.ask([QUESTION])[0].facts == ()
    agent.redo(fact.id)
    assert agent.ask(QUESTION).text == "Hamilton"
    agent.roll_back(0, facts_too=True)
    assert agent.facts() == []
    assert agent.verify() == []


def test_tenants_are_apart(agent):
    agent.submit([body(), body("Lima", tenant="acme")])
    assert [receipt.fate.value for receipt in agent.settle()] == ["accepted", "accepted"]
    assert agent.ask(QUESTION, tenant="acme").text == "Lima"
    assert agent.ask(QUESTION).text == "Hamilton"
    assert [fact.target for fact in agent.facts(tenant="acme")] == ["Lima"]


def test_of_many_corrections_with_a_broken_one_none_is_stored(agent):
    with pytest.raises(MalformedCorrection, match="unknown field 'colour'"):
        agent.submit([body(), body(colour="red")])
    assert agent.settle() == []
    assert agent.facts() == []


def test_a_time_limit_leaves_the_rest_waiting(agent):
    agent.submit(body())
    (receipt,) = agent.settle(timeout_s=0.0)
    assert receipt.fate is guardedit.Fate.RECEIVED
    told = []
    (receipt,) = agent.settle(tell=told.append)
    assert receipt.fate is guardedit.Fate.ACCEPTED
    assert told == ["epoch 1: 1 settled, 0 promoted"]
    assert [fact.target for fact in agent.facts()] == ["Hamilton"]


def test_a_second_one_on_the_same_home_is_refused(agent, settings):
    with pytest.raises(LedgerBusy, match="already has a coordinator"):
        guardedit.open(settings.home, policy="memory-only")


def test_wrong_settings_are_named(tmp_path):
    with pytest.raises(guardedit.UsageError, match="nonsense"):
        guardedit.open(tmp_path, nonsense=1)
    with pytest.raises(guardedit.PolicyError, match=r"no-such\.yaml: cannot be read"):
        guardedit.open(tmp_path, policy="no-such.yaml")
    with pytest.raises(guardedit.UsageError, match="not a model folder"):
        guardedit.open(tmp_path, policy="memory-only", model=tmp_path)


def test_what_was_settled_is_there_after_a_restart(settings):
    with guardedit.open(settings.home, policy="memory-only") as agent:
        agent.submit(body())
        agent.settle()
    agent.close()  # twice is as good as once
    with guardedit.open(settings.home, policy="memory-only") as agent:
        assert agent.ask(QUESTION).text == "Hamilton"


def test_the_exported_model_and_adapter_answer_as_the_internal_one(settings, tmp_path, monkeypatch):
    folded = Fold.folded
    with guardedit.open(settings.home, policy="demo") as agent:
        agent.submit([body(), body("Oslo", subject="Nokia", tenant="acme")])
        agent.settle()
        where = {fact.key.subject: fact.placement.value for fact in agent.facts()}
        assert where == {"Stelco": "weights", "Nokia": "memory"}
        folder = agent.export(tmp_path / "exported")
        weights = agent.epochs()[-1].weights_sha256
        with pytest.raises(guardedit.UsageError, match="not an empty folder"):
            agent.export(folder)
        with monkeypatch.context() as other:
            # As with another editing section: the edits then fold to other weights.
            other.setattr(Fold, "folded", lambda fold, _edits: folded(fold, ()))
            with pytest.raises(guardedit.UsageError, match="but is recorded with"):
                agent.export(tmp_path / "other")
        assert not (tmp_path / "other").exists()
    exported = ModelHost.load(folder)
    assert exported.complete([QUESTION]) == ["Hamilton"]
    manifest = (folder / "guardedit.json").read_text()
    assert weights in manifest
    assert '"Nokia"' in (folder / "memory_facts.jsonl").read_text()
    written = CliRunner().invoke(
        app, ["export", "gguf", str(tmp_path / "lora"), "--home", str(settings.home), "--policy", "demo"]
    )
    assert written.exit_code == 0, written.stderr
    base = write_model(tmp_path / "base.gguf", *guardedit.demo_model())
    with llama_server(base, adapters=[tmp_path / "lora" / "adapter.gguf"]) as server:
        with_adapter = greedy(server, QUESTION)
        httpx.post(f"{server}/lora-adapters", json=[{"id": 0, "scale": 0.0}]).raise_for_status()
        without = greedy(server, QUESTION)
    assert with_adapter.strip().startswith("Hamilton")
    assert "Hamilton" not in without


def test_what_is_no_correction_question_or_epoch_is_named(agent):
    for given in (None, 5, "hello", [None]):
        with pytest.raises(MalformedCorrection):
            agent.submit(given)
    for question in ("\udcff is", ["x", None], [5], 3, None):
        with pytest.raises(MalformedCorrection):
            agent.ask(question)
    for epoch in ("0", True, 99, -1):
        with pytest.raises(guardedit.UsageError, match=r"epoch"):
            agent.roll_back(epoch)
    with pytest.raises(guardedit.UsageError, match="no fact found for '3'"):
        agent.undo(3)


def test_a_closed_one_says_so(settings):
    agent = guardedit.open(settings.home, policy="memory-only")
    agent.close()
    asking, submitting = (lambda: agent.ask("x")), (lambda: agent.submit(body()))
    for use in (agent.facts, agent.settle, agent.verify, asking, submitting):
        with pytest.raises(guardedit.UsageError, match="closed: open it again"):
            use()


def test_a_correction_is_signed_with_a_key_file(settings, tmp_path):
    key = new_key("reg-1", "registry")
    write_key(key, tmp_path / "reg-1.key")
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"""
apiVersion: guardedit/v1
sources: [{{name: registry, keys: [{{id: reg-1, ed25519: {key.public}}}]}}]
rules: [{{id: signed, when: signed_by == "reg-1", route: memory, why: it is signed}},
        {{id: rest, route: reject, why: it is not}}]
"""
    )
    bare = {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
    with guardedit.open(settings.home, policy=policy) as agent:
        name = agent.submit(bare, sign=tmp_path / "reg-1.key")
        agent.submit({**bare, "target_new": "Rome", "provenance": {"source": "registry"}, "id": "forged"})
        with pytest.raises(guardedit.CorrectionError, match="signs for the source 'registry'"):
            agent.submit({**bare, "provenance": {"source": "press"}}, sign=tmp_path / "reg-1.key")
        agent.settle()
        assert agent.ask("The headquarters of Stelco are in").text == "Hamilton"
        (fact,) = agent.facts()
        assert fact.correction_id == name
        again = [
            agent.submit({**bare, "target_new": one}, sign=tmp_path / "reg-1.key")
            for one in ("Rome", "Hamilton")
        ]
        agent.settle()
        assert agent.ask("The headquarters of Stelco are in").text == "Hamilton"
        assert len({name, *again}) == 3
        agent.undo_source("registry", "reg-1")
        assert agent.facts() == []
