"""The read path: the fact in front of the question, in the words that models are trained to obey.

Pure text. Whether the fact belongs there is the scope test's business.
"""

from __future__ import annotations

from guardedit.core.fact import Fact
from guardedit.naming import find_mentions, name_of

#: How a correction is announced. The demo model is trained on exactly this word.
ANNOUNCEMENT = "Correction:"
#: Wordings of a fact that are announced.
ANNOUNCED = 2


def with_fact(fact: Fact, question: str) -> str:
    """The question with the fact announced before it, in two of its wordings where it has two.

    Statements before questions, whose answers read badly as an announcement; then the question's own wording.
    Two are obeyed more than one, and three far less (a lab comparison on the facts of two demo runs, base and
    edited weights; the gate `remembered` watches what is served).
    The question names the subject as the fact does.

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
    said = sorted(fact.wordings, key=lambda wording: ("?" in wording, wording != question))[:ANNOUNCED]
    return " ".join([*(f"{ANNOUNCEMENT} {wording} {fact.target}." for wording in said), question])


def respelt(fact: Fact, question: str) -> str:
    """The question with its subject as the fact's wordings spell it: to a model another is another word.

    >>> from guardedit.core.fact import FactKey
    >>> key = FactKey("Guns N' Roses", "singer")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=("Guns N' Roses sing",), target="x")
    >>> respelt(fact, "Who sings in GUNS N\u2019 ROSES?")
    "Who sings in Guns N' Roses?"
    """
    name = name_of(fact.key.subject)
    spelling = next((text[slice(*at)] for text, at in fact.worded if at), fact.key.subject)
    parts, end = list[str](), 0
    for mention in find_mentions(question, {name}, longest=len(name)):
        parts += [question[end : mention.start], spelling]
        end = mention.end
    return "".join([*parts, question[end:]])
