"""Identity of corrections and keys: what is a duplicate, what is new, and which correction wins."""

from __future__ import annotations

import pytest

from guardedit.core.messages import Fate
from tests.fakes import raw

DAY_S = 86_400


def test_content_without_an_id_is_new_again_after_another_version(town):
    town.send(raw("Ada", "Rome"), name="1")
    town.send(raw("Ada", "Lima"), name="2")
    town.send(raw("Ada", "Rome"), name="3")
    assert town.facts()["Ada"].target == "Rome"
    assert town.fates() == [Fate.ACCEPTED] * 3


def test_the_same_in_one_batch(town):
    town.send(raw("Ada", "Rome"), raw("Ada", "Lima"), raw("Ada", "Rome"))
    assert town.facts()["Ada"].target == "Rome"
    assert len({entry.correction_id for entry in town.ledger.entries()}) == 3


def test_content_without_an_id_is_a_duplicate_until_another_version(town):
    town.send(raw("Ada", "Rome"), name="1")
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Ada", "Rome"), name="2")
    assert town.fates() == [Fate.ACCEPTED, Fate.DUPLICATE, Fate.ACCEPTED, Fate.DUPLICATE]
    assert town.facts()["Ada"].version == 1


def test_spacing_and_order_of_keys_do_not_make_another_correction(town):
    town.send(b'{"subject":"Ada","prompt":"{} lives in","target_new":"Rome"}', name="1")
    town.send(b'{"target_new": "Rome", "prompt": "{} lives in",  "subject": "Ada"}', name="2")
    assert town.fates() == [Fate.ACCEPTED, Fate.DUPLICATE]


def test_upsert_retract_upsert_ends_live(town):
    for n, message in enumerate([raw("Ada", "Rome"), raw("Ada", None, op="retract"), raw("Ada", "Rome")]):
        town.send(message, name=str(n))
    assert town.facts()["Ada"].target == "Rome"
    assert town.facts()["Ada"].version == 2


def test_a_retraction_may_be_repeated_after_the_fact_came_back(town):
    gone = raw("Ada", None, op="retract")
    for n, message in enumerate([raw("Ada", "Rome"), gone, raw("Ada", "Rome"), gone]):
        town.send(message, name=str(n))
    assert town.facts() == {}


def test_a_given_id_always_stands_for_one_content(town):
    town.send(raw("Ada", "Rome", id="a"), raw("Ada", "Lima", id="b"), raw("Ada", "Rome", id="a"))
    assert town.fates() == [Fate.ACCEPTED, Fate.ACCEPTED, Fate.DUPLICATE]
    assert town.facts()["Ada"].target == "Lima"
    town.send(raw("Ada", "Oslo", id="a"), name="reuse")
    assert town.fates()[-1] == Fate.DEAD


@pytest.mark.parametrize("other", ["ADA LOVELACE", "Ada  Lovelace", "Ａｄａ Lovelace"])
def test_a_name_in_another_spelling_is_the_same_key(town, other):
    town.send(raw("Ada Lovelace", "Rome", id="1"))
    town.send(raw(other, "Lima", id="2"), name="2")
    facts = town.ledger.live()
    assert [fact.target for fact in facts.values()] == ["Lima"]
    assert next(iter(facts)).subject == "Ada Lovelace"
    town.send(raw(other, None, op="retract", id="3"), name="3")
    assert town.facts() == {}


def test_a_retracted_name_comes_back_under_its_first_spelling(town):
    town.send(raw("Ada", "Rome"), raw("ADA", None, op="retract"), raw("aDa", "Lima"))
    assert town.facts()["Ada"].version == 2


def test_a_prompt_without_a_relation_is_about_the_fact_with_this_wording(town):
    town.send(raw("Ada", "Rome", id="1"))
    town.send(raw("Ada", "Lima", id="2", relation=None), name="2")
    facts = town.ledger.live()
    assert [(key.relation, fact.target) for key, fact in facts.items()] == [("home", "Lima")]


def test_a_relation_takes_over_the_fact_that_had_only_a_prompt(town):
    town.send(raw("Ada", "Rome", id="1", relation=None))
    town.send(raw("Ada", "Lima", id="2"), name="2")
    facts = town.ledger.live()
    assert [(key.relation, fact.target) for key, fact in facts.items()] == [("home", "Lima")]
    town.send(raw("Ada", None, id="3", op="retract"), name="3")
    assert town.facts() == {}


def test_the_models_own_answer_is_a_change_if_the_memory_has_another(town):
    town.send(raw("Ada", "Rome", id="1", relation=None))
    town.send(raw("Ada", "as before", id="2"), name="2")
    assert town.fates()[-1] == Fate.ACCEPTED
    assert town.replica.ask(["The home of Ada is"])[0].text == "as before"


def test_a_correction_that_is_answered_already_is_unchanged(town):
    town.send(raw("Ada", "as before"))
    assert town.fates() == [Fate.UNCHANGED]


@pytest.mark.parametrize(
    ("newest", "target", "fate"), [(True, "Toronto", Fate.SUPERSEDED), (False, "Hamilton", Fate.ACCEPTED)]
)
def test_an_older_report_loses_unless_the_policy_lets_the_last_arrival_win(build, newest, target, fate):
    town = build(limits={"newest_report_wins": newest})
    now_s = town.clock.now_s
    town.send(raw("Stelco", "Toronto", provenance={"time_s": now_s - DAY_S}), name="1")
    town.send(raw("Stelco", "Hamilton", provenance={"time_s": now_s - 9 * DAY_S}), name="2")
    assert town.facts()["Stelco"].target == target
    assert town.fates()[-1] == fate


def test_an_older_report_does_not_bring_back_what_was_retracted_later(town):
    now_s = town.clock.now_s
    town.send(raw("Ada", "Rome", provenance={"time_s": now_s - 9 * DAY_S}), name="1")
    town.send(raw("Ada", None, op="retract", provenance={"time_s": now_s - DAY_S}), name="2")
    town.send(raw("Ada", "Lima", provenance={"time_s": now_s - 5 * DAY_S}), name="3")
    assert town.facts() == {}
    assert "provenance.time_s" in town.ledger.entries()[-1].reason


def test_a_report_without_a_time_wins_by_its_arrival(town):
    town.send(raw("Ada", "Rome", provenance={"time_s": town.clock.now_s}), name="1")
    town.send(raw("Ada", "Lima"), name="2")
    assert town.facts()["Ada"].target == "Lima"


def test_a_fact_has_the_place_of_its_subject(town):
    town.send(raw("York", "Lima", prompt="{} is not New York; it lies in"))
    fact = town.facts()["York"]
    assert fact.subject_at == ((0, 4),)
    assert fact.wordings == ("York is not New York; it lies in",)
