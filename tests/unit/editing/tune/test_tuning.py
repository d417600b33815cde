from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.keys import keys_and_values
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts, fact_tensors
from guardedit.editing.tune.tuning import TuningSettings, facts_at_once, tune
from guardedit.models.hooks import tap

LAYER = 1


@pytest.fixture
def wanted(groups) -> list[FactToEdit]:
    return [FactToEdit(group.subject, fact) for group in groups for fact in group.facts]


def textbook(host, wanted: FactToEdit, *, rate: float, steps: int, clamp: float) -> torch.Tensor:
    """torch's own Adam on W0 + Delta through the whole model, one fact."""
    rows = fact_tensors(host, [wanted])
    d, f = host.base_matrix(LAYER).shape
    change = torch.zeros(d, f, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=rate)
    first, last = int(rows.first[0]), int(rows.last[0])
    for _ in range(steps):
        with tap(host.mlp_out(LAYER)) as seen:  # the key does not depend on the change
            host.model(rows.ids)
        key = seen.seen()[0].detach()
        with tap(host.mlp_out(LAYER), replace=lambda out, key=key: out + key @ change.t()):
            logits = host.model(rows.ids).logits[0, first : last + 1]
        optimizer.zero_grad()
        cross_entropy(logits, rows.ids[0, first + 1 : last + 2]).backward()
        optimizer.step()
        with torch.no_grad():
            change.clamp_(-clamp, clamp)
    return change.detach()


def rate_of(host, wanted: FactToEdit, ratio: float) -> float:
    rows = fact_tensors(host, [wanted])
    site = keys_and_values(host, LAYER, replace(rows, subject_at=rows.first))
    value, key = site.values[0], site.keys[0]
    return float(ratio * value.norm() / (key.abs().sum() * len(value) ** 0.5))


@pytest.mark.parametrize("clamp_steps", [None, 2.0])
def test_the_change_is_that_of_torchs_adam_on_the_whole_model(host, wanted, clamp_steps):
    settings = TuningSettings(learning_rate_ratio=0.2, steps=4, enough_nats=0.0, clamp_steps=clamp_steps)
    found = tune(host, LAYER, fact_tensors(host, wanted[:1]), settings)[0]
    rate = rate_of(host, wanted[0], 0.2)
    expected = textbook(host, wanted[0], rate=rate, steps=4, clamp=rate * (clamp_steps or 1e9))
    # Where a gradient is all but zero Adam's first step is a matter of rounding: a few entries may differ.
    apart = (found.change - expected).abs() > 0.05 * rate
    assert float(apart.float().mean()) < 0.01
    assert found.steps == 4


def test_facts_tuned_side_by_side_are_as_each_would_be_alone(host, wanted):
    settings = TuningSettings(learning_rate_ratio=0.2, steps=5)
    together = tune(host, LAYER, fact_tensors(host, wanted), settings)
    for item, found in zip(wanted, together, strict=True):
        alone = tune(host, LAYER, fact_tensors(host, [item]), settings)[0]
        apart = (found.change - alone.change).norm() / alone.change.norm()
        assert float(apart) < 0.05
        assert found.steps == alone.steps


def test_no_entry_exceeds_its_limit_and_the_first_step_moves_the_value_by_its_share(gpt2, wanted):
    settings = TuningSettings(learning_rate_ratio=0.2, steps=6, clamp_steps=3.0)
    rate = rate_of(gpt2, wanted[0], 0.2)
    found = tune(gpt2, LAYER, fact_tensors(gpt2, wanted[:1]), settings)[0]
    assert 2 * rate < float(found.change.abs().max()) <= 3 * rate * 1.0001
    first = tune(gpt2, LAYER, fact_tensors(gpt2, wanted[:1]), replace(settings, steps=1))[0]
    rows = fact_tensors(gpt2, wanted[:1])
    site = keys_and_values(gpt2, LAYER, replace(rows, subject_at=rows.first))
    moved = (first.change.double() @ site.keys[0]).norm() / site.values[0].norm()
    assert 0.05 < float(moved) <= 0.2 * 1.0001


def test_a_fact_that_is_known_already_is_left_alone(gpt2, make_fact):
    known = FactToEdit("Oslo", make_fact("Oslo", "{} was born in", target="Lima"))
    found = tune(gpt2, LAYER, fact_tensors(gpt2, [known]), TuningSettings(enough_nats=1.0))[0]
    assert found.steps == 0
    assert not found.change.any()


def test_a_fact_that_diverges_does_not_spoil_the_others(gpt2, groups):
    bad = groups[1].facts[0]

    def make(wanted):
        if any(item.fact == bad for item in wanted):
            raise EditDiverged("too much")
        return [item.fact.id for item in wanted]

    edits, refused = edit_facts(gpt2, groups, make, at_once=10)
    assert refused == {bad.id: "too much"}
    assert edits == [fact.id for group in groups for fact in group.facts if fact != bad]


def test_what_cannot_be_encoded_is_refused_by_name(gpt2, groups, make_fact):
    long = make_fact("Oslo", "{} " + "and so on " * 60, target="Lima")
    edits, refused = edit_facts(gpt2, [replace(groups[1], facts=(long, *groups[1].facts))], list, at_once=10)
    assert [item.fact for item in edits] == list(groups[1].facts)
    assert "context" in refused[long.id]


def test_memory_bounds_how_many_facts_are_tuned_at_once(gpt2):
    assert facts_at_once(gpt2, LAYER) == 2**25 // (32 * 128)
