"""Features of a question and a fact whose subject it names: cosines, word overlap, and how it is named."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from guardedit.memory.names import Way

#: Cap on the number of other relations, since calibration sees about as many.
MANY_RIVALS = 64

#: Cosine that the nearest other relation usually has when many are live. `rival` counts as at least this.
#: Otherwise, with few live relations, every question about a subject would seem to be about its only fact.
USUAL_RIVAL = 0.5

#: Two masked texts with at least this cosine have the same words. It is below 1 because float32 rounds.
SAME_WORDS = 0.9995

_LATIN, _LETTER = regex.compile(r"\p{Latin}"), regex.compile(r"\p{L}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features of one question and one fact. Cosines are in [-1, 1], and -1 if there is nothing to compare.

    Attributes:
        full: cosine of the whole question to the best key of the fact.
        own: best cosine of the question to the fact's wordings, with the subject masked in both.
        relation: the same for all live wordings of the fact's relation.
        rival: the same for the wordings of all other relations.
        rivals: number of other live relations; if they are few, `rival` means little.
        overlap: largest Jaccard word overlap with the fact's own wordings, without the subject.
        named: whether the subject occurs in the question as whole words.
        doubtful: whether every mention of the subject may be one of something else: a longer name, a word.
        way: how the question names the subject.
        has_relation: whether the fact's relation was named; else its prompt stands for it.
    """

    full: float
    own: float = -1.0
    relation: float = -1.0
    rival: float = -1.0
    rivals: int = 0
    overlap: float = 0.0
    named: bool = False
    doubtful: bool = False
    way: Way = Way.EXACT
    has_relation: bool = False

    @property
    def verbatim(self) -> bool:
        """Whether the question, apart from the subject, is word for word a live wording of the relation."""
        return self.relation >= SAME_WORDS

    @property
    def other_words(self) -> bool:
        """Whether the question, apart from the subject, is word for word a live wording of another relation.

        False where the correction named no relation: another one may be the same by another name.
        """
        return self.has_relation and self.rival >= SAME_WORDS and not self.verbatim

    def vector(self) -> NDArray[np.float64]:
        """(N_FEATURES,) float64: the inputs of the logistic score."""
        lead = self.relation - max(self.rival, USUAL_RIVAL)
        crowd = math.log1p(min(self.rivals, MANY_RIVALS))
        plain = [self.own, self.relation, lead, self.overlap, float(self.verbatim), crowd]
        # A lead over all other relations means more when more relations are live.
        return np.array([*plain, crowd * self.own, crowd * lead])


#: Length of `Features.vector`.
N_FEATURES = 8


def is_comparable(question: str) -> bool:
    """Whether the whole-question cosine is meaningful. It was calibrated on Latin script only.

    The encoder splits other scripts into single letters, so any two sentences in such a script look similar.

    >>> is_comparable("Who leads Łódź?"), is_comparable("रामायण का जन्म स्थान है")
    (True, False)
    """
    return 2 * len(_LATIN.findall(question)) >= len(_LETTER.findall(question))
