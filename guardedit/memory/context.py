"""Prompts that state a fact before the question, so that the model answers from the fact. Text only."""

from __future__ import annotations

from guardedit.core.fact import Fact
from guardedit.naming import find_mentions, name_of

#: The word before a stated fact. The demo model is trained on exactly this word.
ANNOUNCEMENT = "Correction:"
#: Most wordings of a fact that are stated.
STATED = 2


def with_fact(fact: Fact, question: str) -> str:
    """The question with the fact stated before it, in two of its wordings if it has two.

    Wordings that are statements come before wordings that are questions, because a question with its answer
    reads badly as a statement; among equals the wording of the question itself comes first. Models follow two
    wordings more often than one, and three far less often. (This is from a lab comparison on the facts of two
    demo runs, with base and edited weights; the gate `remembered` measures it for the served model.) The
    subject in the question is respelled as the fact spells it.

    >>> from guardedit.core.fact import FactKey
    >>> wordings = ("The capital of Velmora is", "Velmora obeys", "Velmora is ruled from")
    >>> key = FactKey("Velmora", "capital")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> with_fact(fact, "Who governs Velmora?")
    'Correction: The capital of Velmora is Karsk. Correction: Velmora obeys Karsk. Who governs Velmora?'
    >>> with_fact(fact, "Velmora obeys")
    'Correction: Velmora obeys Karsk. Correction: The capital of Velmora is Karsk. Velmora obeys'
    """
    question = respelt(fact, question)
    stated = sorted(fact.wordings, key=lambda wording: ("?" in wording, wording != question))[:STATED]
    return " ".join([*(f"{ANNOUNCEMENT} {wording} {fact.target}." for wording in stated), question])


def respelt(fact: Fact, question: str) -> str:
    """The question with its subject spelled as in the fact's wordings.

    To a model, another spelling is a different word.

    >>> from guardedit.core.fact import FactKey
    >>> key = FactKey("Guns N' Roses", "singer")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=("Guns N' Roses sing",), target="x")
    >>> respelt(fact, "Who sings in GUNS N\u2019 ROSES?")
    "Who sings in Guns N' Roses?"
    """
    name = name_of(fact.key.subject)
    spelling = next((text[slice(*at)] for text, at in fact.located_wordings if at), fact.key.subject)
    parts, end = list[str](), 0
    for mention in find_mentions(question, {name}, longest=len(name)):
        parts += [question[end : mention.start], spelling]
        end = mention.end
    return "".join([*parts, question[end:]])
