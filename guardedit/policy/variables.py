"""The variables of a `when:` expression: one table with the name, type, meaning and computation of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from guardedit.core.correction import Correction
from guardedit.policy.reach import reach

VariableType = Literal["bool", "int", "double", "string", "list(string)"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """What a decision depends on besides the policy and the correction.

    Attributes:
        now_s: the present time, seconds since 1970, UTC. An argument, so that a stream can be replayed.
        subject_edits_24h: corrections accepted in the last 24 hours that reached the same name, not counting
            this one. Of the names that this one counts for (`policy.reach.charged`), the largest number.
        known_subject: the probe set has answers about this subject, so that a trial can measure whether an
            edit damages them.
        reach: the names that the correction reaches, as `policy.reach.reach` computes them with the caller's
            known names. Empty: computed from the correction's own text.
        signed_by: id of the key that signed the correction (`policy.sources.signer`); "" for none.
        contradiction: which live fact the correction contradicts by a declared inverse relation; "" for none.
    """

    now_s: float
    subject_edits_24h: int = 0
    known_subject: bool = False
    reach: tuple[str, ...] = ()
    signed_by: str = ""
    contradiction: str = ""


def reached(correction: Correction, context: DecisionContext) -> tuple[str, ...]:
    """The names that a correction reaches, its subject first."""
    return context.reach or reach(correction)


class Variable(NamedTuple):
    """One variable: its CEL type, its meaning for people, and how it is computed."""

    type: VariableType
    meaning: str
    read: Callable[[Correction, DecisionContext], object]


def _age_s(correction: Correction, context: DecisionContext) -> float:
    time_s = correction.provenance.time_s
    return math.nan if time_s is None else context.now_s - time_s


def _valid_for_s(correction: Correction, context: DecisionContext) -> float:
    until_s = correction.valid_until_s
    return math.inf if until_s is None else until_s - context.now_s


VARIABLES: Final[Mapping[str, Variable]] = MappingProxyType(
    {
        "subject": Variable("string", "what the fact is about", lambda c, _: c.subject),
        "aliases": Variable("list(string)", "other names of the subject", lambda c, _: list(c.aliases)),
        "relation": Variable("string", "relation, empty if the message has none", lambda c, _: c.relation),
        "tenant": Variable("string", "tenant that owns the fact", lambda c, _: c.tenant),
        "source": Variable("string", "source that the provenance names", lambda c, _: c.provenance.source),
        "signed_by": Variable(
            "string",
            "id of the key that signed, empty for a source without keys",
            lambda _, x: x.signed_by,
        ),
        "author": Variable("string", "author, may be empty", lambda c, _: c.provenance.author),
        "op": Variable("string", "'upsert' or 'retract'", lambda c, _: c.op.value),
        "tags": Variable("list(string)", "tags of the message", lambda c, _: list(c.tags)),
        "target": Variable("string", "the new answer, empty for a retraction", lambda c, _: c.target_new),
        "confidence": Variable(
            "double", "the source's confidence, in [0, 1]", lambda c, _: c.provenance.confidence
        ),
        "evidence_count": Variable("int", "pieces of evidence", lambda c, _: len(c.provenance.evidence)),
        "target_words": Variable("int", "words in the new answer", lambda c, _: len(c.target_new.split())),
        "target_characters": Variable("int", "characters in the new answer", lambda c, _: len(c.target_new)),
        "prompt_characters": Variable("int", "characters in the prompt", lambda c, _: len(c.prompt)),
        "paraphrase_count": Variable("int", "number of paraphrases", lambda c, _: len(c.paraphrases)),
        "subject_is_first": Variable(
            "bool", "the prompt begins with the subject", lambda c, _: c.prompt.lstrip().startswith("{}")
        ),
        "has_expiry": Variable("bool", "valid_until_s is given", lambda c, _: c.valid_until_s is not None),
        "valid_for_s": Variable("double", "seconds until it expires, infinite if it does not", _valid_for_s),
        "age_s": Variable("double", "seconds since the source's own time, NaN if unknown", _age_s),
        "subject_edits_24h": Variable(
            "int",
            "accepted corrections in 24 hours that reached the same name",
            lambda _, x: x.subject_edits_24h,
        ),
        "names_reached": Variable(
            "int",
            "names that its wordings mention, with the subject and its aliases",
            lambda c, x: len(reached(c, x)),
        ),
        "known_subject": Variable(
            "bool", "the probe set has questions about the subject", lambda _, x: x.known_subject
        ),
    }
)

#: Old name, as of version 0.1 -> present name of a variable.
RENAMED_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({"scope": "tenant"})


def read_variables(correction: Correction, context: DecisionContext) -> dict[str, object]:
    """The value of every variable for one correction, under its present and its old name."""
    values = {name: variable.read(correction, context) for name, variable in VARIABLES.items()}
    return {**values, **{old: values[new] for old, new in RENAMED_VARIABLES.items()}}
