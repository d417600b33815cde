from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.runtime.operator.story import story
from tests.fakes import raw
from tests.town import Town


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path / "home").start()
    yield town
    town.stop()


def steps(town, name):
    return [one.step for one in story(town.ledger, name, now_s=town.clock())]


def text(town, name, step):
    return "; ".join(one.text for one in story(town.ledger, name, now_s=town.clock()) if one.step == step)


def test_a_promoted_fact_has_every_step_in_order(town):
    town.send(raw("Ada", "Rome", id="a"))
    assert steps(town, "a") == [
        "received", "decided", "remembered", "proposed", "edit made", "promoted", "now",
    ]  # fmt: skip
    assert "accepted: route weights by fake, rule all" in text(town, "a", "decided")
    assert "trial: accept, 1 edit:" in text(town, "a", "promoted")
    assert text(town, "a", "now").startswith("an asker gets 'Rome' from the weights")
    fact = town.facts()["Ada"].id
    assert steps(town, fact) == steps(town, "a") == steps(town, "1")


def test_a_message_that_waits_has_a_story(town):
    town.submit(raw("Ada", "Rome", id="a"))
    assert steps(town, "a") == ["received", "now"]
    assert "it waits for a decision" in text(town, "a", "now")


def test_a_superseded_fact_names_its_successor(town):
    town.send(raw("Ada", "Rome", id="a"))
    old = town.facts()["Ada"].id
    town.send(raw("Ada", "Oslo", id="b"), name="second")
    new = town.facts()["Ada"].id
    assert f"by correction b, by fact {new}" in text(town, old, "superseded")
    assert "an asker gets 'Oslo'" in text(town, "a", "now")


def test_an_undone_fact_is_told_as_undone(town):
    town.send(raw("Ada", "Rome", id="a"))
    town.operator.undo(town.facts()["Ada"].id)
    assert "undo of fact" in text(town, "a", "undone")
    assert "what the model itself answers" in text(town, "a", "now")


def test_a_reason_to_stay_in_memory_is_told(town):
    town.submit(raw("Ada", "Rome", id="a"))
    town.live.step()
    fact = town.facts()["Ada"].id
    town.ledger.note("kept", {"facts": {fact: {"code": "harm", "reason": "perplexity 2 > 1.01"}}})
    assert text(town, "a", "kept in memory") == "harm: perplexity 2 > 1.01"
    assert text(town, "a", "now").endswith("from memory; stays there: harm, epoch 1")
    town.ledger.release_fact(fact)
    assert "tried for the weights again" in text(town, "a", "released")


def test_a_trial_of_an_older_ledger_is_found_by_its_edit(town):
    town.send(raw("Ada", "Rome", id="a"))
    (edit,) = town.ledger.edits()
    gate = {"name": "perplexity", "outcome": "reject", "value": 2.0, "limit": 1.01, "detail": ""}
    verdict = {"outcome": "reject", "reason": "no", "gates": [gate], "probe_sha256": ""}
    town.ledger.note("trial", {"edits": [edit.digest], "verdict": verdict})
    assert text(town, "a", "tried") == "reject, 1 edit: perplexity 2 (limit 1.01)"


def test_an_unknown_id_is_refused(town):
    with pytest.raises(UsageError, match="nothing has the id 'nobody'"):
        story(town.ledger, "nobody", now_s=0.0)


def test_a_fact_that_an_undo_brings_back_is_told_as_restored(town):
    town.send(raw("Ada", "Rome", id="a"))
    town.send(raw("Ada", "Oslo", id="b"), name="second")
    town.operator.undo(town.facts()["Ada"].id)
    assert "restored" in steps(town, "a")
    assert "undone" not in steps(town, "a")
    assert "by correction" not in text(town, "b", "undone")


def test_an_id_that_is_also_the_number_of_a_row_is_the_correction(town):
    town.send(raw("Ada", "Rome", id="2"))
    town.send(raw("Bob", "Oslo", id="b"), name="second")
    assert text(town, "2", "now").startswith("an asker gets 'Rome'")
    assert steps(town, "2").count("promoted") == 1
