"""The kinds of rows: their order in the table, their goals, and the store sizes they are asked in."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Mistake(StrEnum):
    """What is counted as a mistake of a line of the table."""

    OUT = "out"  # a question with a wanted fact gets none
    IN = "in"  # a question without one gets a fact
    WRONG = "wrong"  # a question with a wanted fact gets another one


class Goal(NamedTuple):
    """The largest share of mistakes that is good enough, in a store of any size."""

    most: float
    mistake: Mistake


def _out(most: float) -> Goal:
    return Goal(most, Mistake.OUT)


def _in(most: float) -> Goal:
    return Goal(most, Mistake.IN)


#: (kind, whether a fact is wanted) -> its goal; None: counted without one. In the order of the table.
GOALS: Mapping[tuple[str, bool], Goal | None] = MappingProxyType(
    {
        ("own_prompt", True): _out(0.0),
        ("neighbourhood", False): _in(0.016),
        ("unrelated", False): _in(0.006),
        ("paraphrase_relation_given", True): _out(0.02),
        ("paraphrase_no_relation", True): _out(0.05),
        ("paraphrase", True): _out(0.05),
        ("published_paraphrase", True): None,
        ("question_form_relation_given", True): _out(0.01),
        ("question_form_no_relation", True): _out(0.03),
        ("question_form_one_fact", True): _out(0.03),
        ("question_form", True): _out(0.03),
        ("zsre_rephrase", True): _out(0.03),
        ("trex_question_form", True): _out(0.03),
        ("trex_unseen_pattern", True): _out(0.03),
        ("surname_only", True): _out(0.15),
        ("alias_or_description", True): _out(0.25),
        ("misspelt_subject", True): _out(0.15),
        ("other_language", True): _out(0.30),
        ("typography", True): _out(0.0),
        ("second_question", True): _out(0.03),
        ("same_subject_other_question", False): _in(0.03),
        ("other_wh_word", False): _in(0.05),
        ("other_time", False): _in(0.05),
        ("negation", False): _in(0.05),
        ("longer_name", False): _in(0.05),
        ("many_facts", True): Goal(0.03, Mistake.WRONG),
        ("many_facts", False): _in(0.05),
        ("many_facts_one_subject", True): Goal(0.03, Mistake.WRONG),
        ("many_facts_one_subject", False): _in(0.05),
        ("keyword_search", True): None,
        ("possessive_or_lower_case", True): None,
        ("question_in_chat", True): None,
        ("yes_no", True): None,
        ("sibling_attribute", False): None,
        ("near_name", False): None,
        ("other_subject_same_relation", False): None,
        ("common_word", False): None,
    }
)

#: Kinds that are asked in stores of this size only.
ONLY_SIZE: Mapping[str, int] = MappingProxyType({"question_form_one_fact": 1})
