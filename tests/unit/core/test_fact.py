from __future__ import annotations

from dataclasses import replace

from guardedit.core.correction import Correction
from guardedit.core.epoch import facts_sum
from guardedit.core.fact import Fact, FactKey, Placement, Wording, distinct_wordings


def fact(**given: object) -> Fact:
    told = Correction(
        id="a", subject="York", prompt="{} is not New York; it is in", target_new="Lima",
        paraphrases=("It is not New York: {} is in",),
    )  # fmt: skip
    body = {"wordings": told.wordings, "subject_at": told.subject_at, **given}
    return Fact(key=told.key, version=1, correction_id="a", target="Lima", **body)


def test_a_fact_knows_where_its_subject_stands_whatever_the_wording_repeats():
    at = [wording.text[slice(*wording.subject_at)] for wording in fact().located_wordings]
    assert at == ["York", "York"]
    assert fact().subject_at == ((0, 4), (20, 24))


def test_a_fact_of_an_older_ledger_does_not_know_it():
    assert [wording.subject_at for wording in fact(subject_at=()).located_wordings] == [None, None]
    body = fact().to_json()
    del body["subject_at"]
    assert Fact.from_json(body).subject_at == ()


def test_a_fact_without_aliases_keeps_the_id_that_it_had_before_there_were_aliases():
    assert fact().id == "8d73a0dc778ab67c"
    assert "aliases" not in fact().to_json()
    assert Fact.from_json(fact().to_json()) == fact()


def test_aliases_survive_the_wire_and_belong_to_the_content():
    named = fact(aliases=("Eboracum",))
    assert Fact.from_json(named.to_json()) == named
    assert named.id != fact().id
    assert (named.exported()["aliases"], "aliases" in fact().exported()) == (["Eboracum"], False)


def test_places_survive_the_wire_and_a_move():
    moved = fact().placed(Placement.WEIGHTS)
    assert Fact.from_json(moved.to_json()) == moved
    assert moved.id == fact().id != fact(subject_at=()).id


def test_a_fact_without_a_start_and_a_target_in_its_key_has_the_bytes_of_earlier_versions():
    body = fact().to_json()
    assert "valid_from_s" not in body
    assert body["key"] == ["York", "{} is not New York; it is in", "default"]
    assert str(fact().key) == "default/York/{} is not New York; it is in"
    assert (fact().id, f"{facts_sum([fact()]):064x}"[:16]) == ("8d73a0dc778ab67c", "5152e1e95311aa70")


def test_a_start_and_a_target_in_the_key_survive_and_make_another_state():
    started = replace(fact(), valid_from_s=5.0)
    many = replace(fact(), key=fact().key._replace(target="Lima"))
    for one in (started, many):
        assert Fact.from_json(one.to_json()) == one
        assert facts_sum([one]) != facts_sum([fact()])
    assert started.id == fact().id != many.id
    assert str(many.key).endswith("/Lima")


def test_wordings_are_joined_once_each_with_the_places_that_are_known():
    old = Fact(
        key=FactKey("York", "r"), version=1, correction_id="a", wordings=("York is", "So is York"), target="x"
    )
    wordings, subject_at = distinct_wordings(
        (*old.located_wordings, Wording("York is", (0, 4)), Wording("Is York", (3, 7)))
    )
    assert wordings == ("York is", "So is York", "Is York")
    assert subject_at == ((0, 4), (0, 0), (3, 7))
    assert distinct_wordings(old.located_wordings) == (old.wordings, ())
