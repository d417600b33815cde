"""The read path: the fact in front of the question, in the words that models are trained to obey.

Pure text. Whether the fact belongs there is the scope test's business.
"""

from __future__ import annotations

from guardedit.core.fact import Fact

#: How a correction is announced. The demo model is trained on exactly this word.
ANNOUNCEMENT = "Correction:"


def with_fact(fact: Fact, question: str) -> str:
    """The question with the fact announced before it.

    >>> from guardedit.core.fact import FactKey
    >>> wordings = ("The capital of Velmora is", "Velmora is governed from")
    >>> key = FactKey("Velmora", "capital")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> with_fact(fact, "Velmora is governed from")
    'Correction: The capital of Velmora is Karsk. Velmora is governed from'
    """
    return f"{ANNOUNCEMENT} {fact.statement} {question}"
