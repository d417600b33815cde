"""Facts are compared with the messages they came from, also where every hash fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.correction import Correction, Op, encode_correction
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.messages import Delivery, Fate, Settlement

SAID = Correction(
    id="a", subject="STELCO", prompt="{} sits in", paraphrases=("The seat of {} is",), target_new="Hamilton"
)
FACT = Fact(
    key=SAID.key, version=1, correction_id="a", wordings=SAID.wordings, target="Hamilton", reported_at_s=None
)


def accept(ledger, message: Correction, fact: Fact | None, *, decided: Correction | None = None) -> None:
    """Settle the message with this fact, as a coordinator might that was changed or is wrong."""
    ledger.receive([Delivery(raw=encode_correction(message), source="s", position=message.id)])
    (row,) = ledger.pending(9)
    key = fact.key if fact else message.key
    of = decided or message
    ledger.settle([Settlement(seq=row.seq, fate=Fate.ACCEPTED, correction=of, change=Change(key, fact))])


def test_a_fact_that_says_what_its_message_said_is_sound_wherever_it_is_placed(ledger):
    accept(ledger, SAID, FACT)
    ledger.change_facts([Change(FACT.key, FACT.placed(Placement.WEIGHTS))], kind="promote", reason="")
    assert ledger.verify() == []


def test_a_later_version_keeps_the_spelling_of_the_first_and_the_wordings_of_both(ledger):
    accept(ledger, SAID, FACT)
    again = replace(SAID, id="b", subject="Stelco", paraphrases=("One finds {} in",))
    wordings = (*FACT.wordings, *again.wordings)
    accept(ledger, again, replace(FACT, version=2, correction_id="b", wordings=wordings))
    assert ledger.verify() == []


def test_a_later_version_keeps_the_aliases_of_the_first(ledger):
    accept(ledger, replace(SAID, aliases=("STE",)), replace(FACT, aliases=("STE",)))
    again = replace(SAID, id="b", target_new="Toronto", aliases=("The Mill",))
    later = replace(FACT, version=2, correction_id="b", target="Toronto", aliases=("The Mill", "STE"))
    accept(ledger, again, later)
    assert ledger.verify() == []


def test_a_fact_that_lacks_an_alias_of_its_message_is_reported(ledger):
    accept(ledger, replace(SAID, aliases=("STE",)), FACT)
    assert any("lacks the alias 'STE' of correction 'a'" in said for said in ledger.verify())


def test_an_id_may_be_a_derived_one(ledger):
    accept(ledger, SAID, replace(FACT, correction_id="a~2"), decided=replace(SAID, id="a~2"))
    assert ledger.verify() == []


def test_a_retraction_leaves_no_fact_to_ask_about(ledger):
    accept(ledger, SAID, FACT)
    accept(ledger, replace(SAID, id="b", op=Op.RETRACT, target_new="", paraphrases=()), None)
    assert ledger.verify() == []


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (replace(FACT, target="Toronto"), "says 'Toronto', the message of correction 'a' says 'Hamilton'"),
        (replace(FACT, wordings=FACT.wordings[:1]), "lacks the wording 'The seat of STELCO is'"),
        (
            replace(FACT, wordings=(*FACT.wordings, "The moon is made of")),
            "has the wording 'The moon is made of', which is in no message about it",
        ),
        (
            replace(FACT, key=FactKey("Dofasco", SAID.prompt)),
            "is about default/Dofasco/{} sits in, the message of correction 'a' about default/STELCO",
        ),
        (replace(FACT, key=replace(SAID, tenant="other").key), "is about other/STELCO"),
        (replace(FACT, aliases=("Ibis",)), "has the alias 'Ibis', which is in no message about it"),
        (replace(FACT, correction_id="z"), "follows from no accepted message"),
    ],
)
def test_a_fact_that_its_message_did_not_say_is_reported(ledger, forged, why):
    accept(ledger, SAID, forged)
    found = ledger.verify()
    assert any(said.startswith(f"changes: fact {forged.id} of epoch 1") and why in said for said in found)


def test_a_message_decided_as_another_one_is_reported(ledger):
    other = replace(SAID, target_new="Toronto")
    accept(ledger, SAID, replace(FACT, target="Toronto"), decided=other)
    assert any("decided with another content than its message has" in said for said in ledger.verify())


def test_a_fact_without_any_message_is_reported(ledger):
    ledger.change_facts([Change(FACT.key, FACT)], kind="redo", reason="")
    assert any("follows from no accepted message" in said for said in ledger.verify())


def test_an_accepted_message_that_is_none_is_reported(ledger):
    ledger.receive([Delivery(raw=b"{", source="s", position="1")])
    (row,) = ledger.pending(9)
    change = Change(FACT.key, FACT)
    ledger.settle([Settlement(seq=row.seq, fate=Fate.ACCEPTED, correction=SAID, change=change)])
    assert any("its message cannot be read" in said for said in ledger.verify())
