"""The policy memory-only on a folder that holds only a model's Hugging Face files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

import guardedit
from guardedit import assembly
from guardedit.cli.main import app
from guardedit.core.errors import EditError, UsageError, WrongBaseModel
from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, policy_file
from tests.tiny_models import FAMILIES, D, F, byte_tokenizer

QUESTION = "The headquarters of Stelco are in"
BODY = {
    "subject": "Stelco",
    "relation": "P159",
    "prompt": "The headquarters of {} are in",
    "target_new": "Hamilton",
}


@pytest.fixture
def bare(tmp_path):
    """A folder with a tiny Llama of random weights and its tokenizer, and nothing else."""
    folder = tmp_path / "bare"
    FAMILIES["llama"](600).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def on_bare(bare, tmp_path):
    return Settings(
        home=tmp_path / "home", model=str(bare), policy=policy_file("memory-only"), metrics=None, device="cpu"
    )


@pytest.fixture
def command(on_bare, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_HOME", str(on_bare.home))
    monkeypatch.setenv("GUARDEDIT_MODEL", on_bare.model)
    monkeypatch.setenv("GUARDEDIT_POLICY", str(on_bare.policy))
    monkeypatch.setenv("GUARDEDIT_METRICS", "off")
    monkeypatch.setenv("GUARDEDIT_DEVICE", "cpu")

    def run(*arguments: str, stdin: str | None = None) -> Any:
        return CliRunner().invoke(app, list(arguments), input=stdin, prog_name="guardedit")

    return run


def test_python_serves_from_memory_and_makes_no_other_file(on_bare, bare):
    before = sorted(path.name for path in bare.iterdir())
    with guardedit.open(on_bare.home, model=bare, policy="memory-only") as agent:
        agent.submit(BODY)
        (receipt,) = agent.settle()
        assert receipt.fate is guardedit.Fate.ACCEPTED
        assert agent.ask(QUESTION).placement == "memory"
        (fact,) = agent.facts()
        agent.undo(fact.id)
        agent.redo(fact.id)
        assert agent.ask(QUESTION).facts == (fact.id,)
    assert sorted(path.name for path in bare.iterdir()) == before
    assert not (on_bare.home / "moments").exists()


def test_the_commands_work(command, on_bare):
    assert command("submit", "-", stdin=json.dumps(BODY)).exit_code == 0
    ran = command("run", "--once", "--output", "json")
    assert ran.exit_code == 0, ran.output
    asked = command("ask", QUESTION, "--output", "json")
    assert '"placement": "memory"' in asked.stdout, asked.output
    verified = command("verify")
    assert verified.exit_code == 0, verified.output
    assert command("status").exit_code == 0


def test_the_model_may_be_prepared_later(on_bare, bare):
    with guardedit.open(on_bare.home, model=bare, policy="memory-only"):
        pass
    (bare / "edit_card.json").write_text(json.dumps({"layer": 1, "layers": [1]}))
    (bare / "probes.json").write_text(json.dumps({"texts": ["One text."], "questions": []}))
    with guardedit.open(on_bare.home, model=bare, policy="memory-only") as agent:
        assert agent.epochs()[-1].number == 0
    (bare / "probes.json").write_text(json.dumps({"texts": ["Another text."], "questions": []}))
    with pytest.raises(WrongBaseModel, match="probes"):
        guardedit.open(on_bare.home, model=bare, policy="memory-only")


def test_a_policy_that_writes_weights_names_everything_that_is_missing(on_bare):
    settings = replace(on_bare, policy=policy_file("default"))
    with pytest.raises(UsageError) as caught:
        assembly.load_model(settings, load_policy(settings.policy))
    for part in (
        "a layer to edit",
        "a probe set",
        f"`guardedit model prepare {settings.model}`",
        "memory-only",
    ):
        assert part in str(caught.value)


def test_nothing_can_be_proposed(on_bare):
    loaded = assembly.load_model(on_bare, load_policy(on_bare.policy))
    with pytest.raises(EditError, match="no rule of the policy in force routes to the weights"):
        assembly.model_worker(loaded).propose("joint", [], [])
    assert list(loaded.editors) == []


def test_edits_that_an_earlier_policy_made_are_folded_to_the_same_bytes(on_bare, bare):
    import torch

    (bare / "edit_card.json").write_text(json.dumps({"layer": 1, "layers": [1]}))
    (bare / "background.json").write_text(
        json.dumps(["One text about York.", "Another one about Oslo."] * 40)
    )
    (bare / "probes.json").write_text(json.dumps({"texts": ["One text."], "questions": []}))
    edit = WeightEdit(
        subject="York",
        facts=("f",),
        method="memit",
        payload=to_payload(Factors.ridge(layer=1, key=torch.ones(F), residual=torch.ones(D))),
    )
    default = replace(on_bare, policy=policy_file("default"))
    made = assembly.load_model(default, load_policy(default.policy)).fold.weights_sha256([edit])
    fold = assembly.load_model(on_bare, load_policy(on_bare.policy)).fold
    assert fold.weights_sha256([edit]) == made
    assert fold.weights_sha256([]) != made


def test_without_the_second_moments_and_their_text_an_edit_cannot_be_folded(on_bare):
    import torch

    fold = assembly.load_model(on_bare, load_policy(on_bare.policy)).fold
    payload = to_payload(Factors.ridge(layer=1, key=torch.ones(F), residual=torch.ones(D)))
    edit = WeightEdit(subject="York", facts=("f",), method="memit", payload=payload)
    with pytest.raises(UsageError, match="guardedit model prepare"):
        fold.weights_sha256([edit])
