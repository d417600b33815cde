"""A real edit of the demo model is published, and the real PEFT computes the edited logits from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from guardedit import assembly
from guardedit.core.messages import Delivery
from guardedit.policy.load import parse_policy
from guardedit.publishing.bundle import read_bundle
from guardedit.publishing.opening import open_publishing
from guardedit.runtime.opening import existing, inbox
from guardedit.runtime.system import open_system
from guardedit.settings import shipped_policy


def test_an_edit_and_its_rollback_beside_a_running_coordinator(settings, changes, tmp_path):
    lake = tmp_path / "lake"
    text = Path(shipped_policy("default.yaml")).read_text("utf-8")
    rules = parse_policy(f"{text}\npublish:\n  - {{name: lake, kind: directory, path: {lake}}}\n", name="p")
    [change] = changes(1, seed=30)
    with open_system(settings, rules) as system, open_publishing(settings, rules) as publishing:
        with inbox(settings) as box:
            box.receive([Delivery(raw=change.raw, source="submit", position="x:1")])
        settle(system)
        assert publishing.once()["lake"].active
        edited = read_bundle(lake / "current")
        assert (edited.has_adapter, edited.epoch) == (True, system.epoch().number)
        wanted, base = logits(settings, rules, change.prompt)
        assert float((wanted - base).abs().max()) > 1e-2
        host = assembly.load_host(settings)
        ids = torch.tensor([host.tokenizer(change.prompt)["input_ids"]])
        with torch.inference_mode():
            found = PeftModel.from_pretrained(host.model, lake / "current")(ids).logits
        assert float((found - wanted).abs().max()) < 1e-4
        system.roll_back(0)
        assert publishing.once()["lake"].active
        back = read_bundle(lake / "current")
        assert (back.has_adapter, back.epoch) == (False, system.epoch().number)
    with existing(settings) as ledger:
        assert ledger.published_epochs() == {("lake", ""): back.epoch}
        assert ledger.verify() == []


def settle(system) -> None:
    for _ in range(12):
        if system.step().idle:
            return
    pytest.fail("not settled")


def logits(settings, rules, prompt):
    """Of the edited model and of the base model, without an adapter."""
    host = assembly.load_host(settings)
    fold = assembly.served_fold(settings, rules, host)
    ids = torch.tensor([host.tokenizer(prompt)["input_ids"]])
    with existing(settings) as ledger, torch.inference_mode():
        folded = fold.folded(ledger.snapshot().edits)
        base = host.model(ids).logits
        with host.patched(folded.patch):
            return host.model(ids).logits, base
