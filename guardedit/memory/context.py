"""The read path: the fact in front of the question, in the words that models are trained to obey.

Pure text. Whether the fact belongs there is the scope test's business.
"""

from __future__ import annotations

from guardedit.core.fact import Fact

#: How a correction is announced. The demo model is trained on exactly this word.
ANNOUNCEMENT = "Correction:"
#: Wordings of a fact that are announced.
ANNOUNCED = 2


def with_fact(fact: Fact, question: str) -> str:
    """The question with the fact announced before it, in two of its wordings where it has two.

    Statements before questions, whose answers read badly as an announcement; then the question's own wording.
    Two are obeyed more than one, and three far less (a lab comparison on the facts of two demo runs, base and
    edited weights; the gate `remembered` watches what is served).

    >>> from guardedit.core.fact import FactKey
    >>> wordings = ("The capital of Velmora is", "Velmora obeys", "Velmora is ruled from")
    >>> key = FactKey("Velmora", "capital")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> with_fact(fact, "Who governs Velmora?")
    'Correction: The capital of Velmora is Karsk. Correction: Velmora obeys Karsk. Who governs Velmora?'
    >>> with_fact(fact, "Velmora obeys")
    'Correction: Velmora obeys Karsk. Correction: The capital of Velmora is Karsk. Velmora obeys'
    """
    said = sorted(fact.wordings, key=lambda wording: ("?" in wording, wording != question))[:ANNOUNCED]
    return " ".join([*(f"{ANNOUNCEMENT} {wording} {fact.target}." for wording in said), question])
