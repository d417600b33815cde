"""The read path: the fact in front of the question, in the words that models are trained to obey.

Pure text. Whether the fact belongs there is the scope test's business.
"""

from __future__ import annotations

from guardedit.core.fact import Fact

#: How a correction is announced. The demo model is trained on exactly this word.
ANNOUNCEMENT = "Correction:"


def with_fact(fact: Fact, question: str) -> str:
    """The question with the fact announced before it, in other words than the question's where it has any.

    Said and asked in the same words the answer would only have to be repeated, and models that learned to
    carry it over from one wording to another do that less well.

    >>> from guardedit.core.fact import FactKey
    >>> wordings = ("The capital of Velmora is", "Velmora is governed from")
    >>> key = FactKey("Velmora", "capital")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> with_fact(fact, "Velmora is governed from")
    'Correction: The capital of Velmora is Karsk. Velmora is governed from'
    >>> with_fact(fact, "The capital of Velmora is")
    'Correction: Velmora is governed from Karsk. The capital of Velmora is'
    """
    said = next((wording for wording in fact.wordings if wording != question), fact.prompt)
    return f"{ANNOUNCEMENT} {said} {fact.target}. {question}"
