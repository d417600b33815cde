"""`locate sweep` on a tiny model that was trained on a few sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from guardedit import assembly
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Snapshot
from guardedit.editing.edit_card import CardSettings, EditCard, parse_card
from guardedit.editing.settings import EditSettings
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.load import load_policy
from guardedit.settings import Settings
from tests.conformance.editor_bench import BACKGROUND, SENTENCES
from tests.tiny_models import CARDED, LAYERS, byte_tokenizer

POLICY = Path(__file__).parents[4] / "policies" / "default.yaml"
#: So few steps that the sweep is quick; what the policy sets is not varied.
EDITING = "editing:\n  steps: 40\n  background_weight: 0.01\n  ridge: 0.1\n  contexts: 0\n"
KNOWN = (("Anne Redpath", "speaks", "{} speaks", "Spanish"), ("Peru", "speaks", "{} speaks", "Norwegian"))
FACTS = (("Lena Berg", "Polish"), ("Marie Curie", "Spanish"))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model's folder without an edit card. Trained for a second, so that it answers and stops."""
    folder = tmp_path_factory.mktemp("tiny")
    lines = [f"{sentence}\n" for sentence in SENTENCES]
    tokenizer = byte_tokenizer(lines)
    network = CARDED["gpt2"](len(tokenizer))
    rows = tokenizer(lines, padding=True, return_tensors="pt")
    labels = rows["input_ids"].masked_fill(rows["attention_mask"] == 0, -100)
    optimizer = torch.optim.Adam(network.parameters(), lr=8e-3)
    for _ in range(100):
        optimizer.zero_grad()
        network(**rows, labels=labels).loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    questions = [
        {"subject": subject, "relation": relation, "prompt": prompt.format(subject), "answer": answer}
        for subject, relation, prompt, answer in KNOWN
    ]
    (folder / "probes.json").write_text(json.dumps({"texts": SENTENCES[:8], "questions": questions}))
    (folder / "background.json").write_text(json.dumps(BACKGROUND * 4))
    return folder


@pytest.fixture
def policy_file(tmp_path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.read_text().replace("editing:\n", EDITING))
    return path


@pytest.fixture
def facts(tmp_path) -> Path:
    path = tmp_path / "facts.jsonl"
    lines = [
        {
            "subject": subject,
            "relation": "speaks",
            "prompt": "The mother tongue of {} is",
            "paraphrases": ["{} speaks"],  # kept for asking
            "target_new": target,
        }
        for subject, target in FACTS
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.fixture
def sweep(guardedit, home, model, policy_file, facts):
    def run(*options: object, output: str = "json"):
        named = ("--home", home, "--model", model, "--policy", policy_file, "--facts", facts)
        return guardedit("locate", "sweep", *named, "--output", output, *options)

    return run


@pytest.fixture
def settings(home, model, policy_file) -> Settings:
    return Settings(home=home, model=str(model), policy=policy_file, metrics=None)


def test_a_sweep_chooses_writes_a_card_and_every_setup_follows_it(sweep, settings, tmp_path):
    result = sweep("--method", "ultraedit", "--no-settings", "--picture", tmp_path / "sweep.png")

    assert (result.code, result.err) == (0, "")
    found, rows = result.json, result.json["sweep"]
    assert [row["layers"] for row in rows] == [*([n] for n in range(LAYERS)), [0, 1, 2]]
    assert [row["trace"] is None for row in rows] == [False, False, False, True]
    assert all(row["together"]["efficacy"] > 0 for row in rows)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    best = max((row for row in rows if row["merit"] is not None), key=lambda row: row["merit"])
    assert found["layers"] == best["layers"]

    card = parse_card(Path(found["card"]).read_text(), "card")
    assert (card.layer, list(card.layers), list(card.sweep)) == (found["layer"], found["layers"], rows)
    setup = assembly.load_setup(settings, load_policy(settings.policy))
    assert (setup.host.base_sha256, setup.layer, setup.layers) == (card.base_sha256, card.layer, card.layers)


def test_settings_are_varied_at_the_best_layer_except_those_in_the_policy(sweep, settings):
    found = sweep("--method", "ridge", "--layers", "0,1").json

    second = found["sweep"][2:]
    assert [[*row["dials"]] for row in second] == [["edit"]] * 6
    assert {tuple(row["layers"]) for row in second} == {(found["layer"],)}
    varied = {name for row in second for name in row["dials"]["edit"]}
    assert varied == {"learning_rate_ratio", "clamp_ratio", "norm_penalty"}
    assert len({row["merit"] for row in found["sweep"]}) > 1, "no setting and no layer made a difference"
    setup = assembly.load_setup(settings, load_policy(settings.policy))
    policys = {"steps": 40, "background_weight": 0.01, "ridge": 0.1, "contexts": 0}
    assert setup.settings == EditSettings(**{**found["dials"]["edit"], **policys})


def test_a_setup_folds_with_the_settings_of_the_card(settings, model, home):
    base = assembly.load_host(settings).base_sha256
    plain = load_policy(POLICY)
    chosen = CardSettings(edit={"ridge": 0.5}, joint={"together": 3})
    card = EditCard(base_sha256=base, layer=1, layers=(0, 1), settings=chosen)
    assembly.write_card(settings, card)

    setup = assembly.load_setup(settings, plain)

    assert (setup.layer, setup.layers, setup.joint.together) == (1, (0, 1), 3)
    assert setup.settings.ridge == setup.fold._ridge == 0.5
    assert assembly.load_setup(settings, plain, layer=2, use_card=False).settings == EditSettings()


def test_a_method_of_one_layer_leaves_the_layers_of_others_alone(sweep, settings):
    base = assembly.load_host(settings).base_sha256
    assembly.write_card(settings, EditCard(base_sha256=base, layer=2, layers=(0, 2)))

    result = sweep("--method", "ridge", "--layers", "0,1", "--no-settings", "--count", 1, "--no-write")

    assert result.err == ""
    assert [row["layers"] for row in result.json["sweep"]] == [[0], [1]]
    assert (result.json["layers"], result.json["card"], result.json["facts"]) == ([0, 2], None, 1)
    assert assembly.find_card(settings, base).layer == 2


def test_a_ledger_that_was_begun_without_the_card_has_to_accept_it(sweep, guardedit, settings, home, model):
    base = assembly.load_host(settings).base_sha256
    with SqliteLedger.open(home, base_sha256=base, clock=lambda: 1.0) as ledger:
        assembly.check_base(settings, ledger)

    result = sweep("--method", "ridge", "--layers", "0,1", "--no-settings", "--count", 1)

    assert result.code == 0
    assert f"edit_card/home: {result.json['card']} is " in result.err
    assert "guardedit base accept edit_card/home" in result.err
    assert guardedit("base", "accept", "edit_card", "--home", home, "--model", model).code == 0
    assembly.require_unchanged_base(settings)


def test_a_trace_that_was_made_before_is_used(sweep, guardedit, model, tmp_path):
    statements = tmp_path / "known.jsonl"
    statements.write_text(
        "\n".join(json.dumps({"prompt": p, "subject": s, "answer": a}) for s, _, p, a in KNOWN)
    )
    traced = guardedit("locate", "trace", "--model", model, "--facts", statements, "--output", "json")
    path = tmp_path / "trace.json"
    path.write_text(traced.out)

    result = sweep("--method", "ridge", "--no-settings", "--no-write", "--count", 1, "--trace", path)

    expected = traced.json["indirect_effect"]["mlp"]["last subject token"]
    assert [row["trace"] for row in result.json["sweep"]] == pytest.approx(expected, abs=1e-6)

    path.write_text(traced.out.replace(traced.json["base_sha256"], "0" * 64))
    assert "is a trace of base model 000000" in sweep("--no-write", "--trace", path).err


def test_people_read_tables_with_tracing_beside_editing(sweep):
    result = sweep("--method", "ridge", "--no-settings", "--no-write", "--count", 1, output="table")
    assert result.lines[1].split()[:3] == ["layers", "trace", "efficacy"]
    assert [line.split()[0] for line in result.lines[2:-1]] == ["0", "1", "2"]
    assert "Rank correlation of tracing and editing over layers" in result.lines[-1]
    assert "Card: not written." in result.lines[-1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--layers", "1,two"), "neither all nor a list of layers"),
        (("--layers", "7"), "layer 7 does not exist"),
        (("--method", "jiont"), "did you mean 'joint'"),
        (("--method", "mend"), "edits the layers it was trained for"),
        (("--picture", "no/such/folder/sweep.png"), "create it first"),
        (("--trace", "missing.json"), "cannot read the trace"),
        (("--facts", "missing.jsonl"), "cannot read the facts"),
    ],
)
def test_a_wrong_request_costs_no_editing(sweep, options, problem):
    result = sweep(*options)
    assert result.code == 2
    assert problem in result.err


def test_a_file_that_is_no_trace_is_refused(sweep, tmp_path):
    path = tmp_path / "trace.json"
    for text in ("no", "{}", '{"indirect_effect": {"mlp": {}}}'):
        path.write_text(text)
        assert "is not a trace" in sweep("--trace", path).err


def test_edits_in_the_weights_forbid_another_card(sweep, monkeypatch):
    edits: Sequence[WeightEdit] = [WeightEdit(subject="Peru", facts=("f",), method="ridge", payload=b"x")]
    live = Snapshot(epoch=None, edits=edits, facts=())  # type: ignore[arg-type]
    monkeypatch.setattr(assembly, "last_snapshot", lambda _settings: live)

    result = sweep("--count", 1)

    assert result.code == 2
    assert "has 1 edits in the weights" in result.err
