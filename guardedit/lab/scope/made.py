"""Makes rows by code from public data: the kinds that need no hand. Seeded; does not read files."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from guardedit.core.fact import Fact
from guardedit.lab.field.cases import FieldCase, FieldEdit, QuestionGroup
from guardedit.lab.scope.public import PublicData, Triple
from guardedit.lab.scope.rows import ScopeRow, stated
from guardedit.lab.scope.spelling import misspelt, surname, typography
from guardedit.naming import last_span

T = TypeVar("T")

WORDINGS = Path(__file__).with_name("wordings.json")
#: Facts about one subject in the store, of the kind `many_facts`.
MANY = 20
#: Questions for stored facts of one subject, of the kind `many_facts`.
_ASKED = 5
#: A question of zsRE's unrelated ones begins with this.
_NQ = "nq question: "


class QuestionForms(NamedTuple):
    """The question forms of `wordings.json`.

    Attributes:
        relations: relation -> its question, with `{}` for the subject.
        overlapping: pairs of relations of which one may answer the other's question.
        persons: relations that only persons have.
        attributes: kind of subject -> (prompt, question, target) of attributes that no other one answers.
    """

    relations: dict[str, str]
    overlapping: frozenset[frozenset[str]]
    persons: frozenset[str]
    attributes: dict[str, list[tuple[str, str, str]]]

    @staticmethod
    def load() -> QuestionForms:
        """The shipped ones."""
        body: dict[str, Any] = json.loads(WORDINGS.read_text(encoding="utf-8"))
        return QuestionForms(
            body["relations"],
            frozenset(map(frozenset, body["overlapping"])),
            frozenset(body["persons"]),
            {
                kind: [(prompt, question, target) for prompt, question, target in rows]
                for kind, rows in body["attributes"].items()
            },
        )


def made_rows(data: PublicData, *, count: int, seed: int) -> list[ScopeRow]:
    """At most `count` rows of each kind that the data allows."""
    wordings = QuestionForms.load()
    families: tuple[Callable[[random.Random], Iterator[ScopeRow]], ...] = (
        lambda rng: _counterfact(_shuffled(data.counterfact, rng)),
        lambda rng: _zsre(_shuffled(data.zsre, rng)),
        lambda rng: _mquake(_shuffled(data.mquake, rng)),
        lambda rng: _trex(_shuffled(_usable(data, wordings), rng), data, wordings, rng),
        lambda rng: _second_question(_shuffled(_usable(data, wordings), rng), data, wordings, rng),
        lambda rng: _same_subject(_shuffled(_usable(data, wordings), rng), data, wordings),
        lambda rng: _many_facts(data, wordings, rng),
    )
    found: dict[tuple[str, str, bool], list[ScopeRow]] = {}
    for number, family in enumerate(families):
        for row in family(random.Random(f"{seed}/{number}")):
            found.setdefault((row.kind, row.source, row.wanted is None), []).append(row)
    return [row for rows in found.values() for row in rows[:count]]


def filler_facts(data: PublicData, *, seed: int) -> list[Fact]:
    """Facts to fill stores with, half of them with a relation and half without."""
    rng = random.Random(f"{seed}/fillers")
    named = [
        stated(one.subject, rng.choice(data.prompts[one.relation]), one.object, one.relation)
        for one in _shuffled(data.trex, rng)
        if one.relation in data.prompts
    ]
    unnamed = [fact for case in _shuffled(data.flat, rng) if (fact := _fact(case.edits[0], "")) is not None]
    pairs = itertools.zip_longest(named, unnamed)
    return [fact for pair in pairs for fact in pair if fact is not None]


def _counterfact(cases: Iterable[FieldCase]) -> Iterator[ScopeRow]:
    for case in cases:
        edit = case.edits[0]
        given, bare = _fact(edit, edit.relation), _fact(edit, "")
        if given is None or bare is None:
            continue
        make = _maker("counterfact")
        yield make("own_prompt", given, edit.prompt)
        for asked in case.asked(QuestionGroup.NEIGHBOUR)[:2]:
            if not last_span(asked.prompt, edit.subject):
                yield make("neighbourhood", given, asked.prompt, wanted=False)
        for asked in case.asked(QuestionGroup.PARAPHRASE):
            yield make("published_paraphrase", given, asked.prompt)
            last = _last_sentence(asked.prompt, edit.subject)
            yield make("paraphrase_relation_given", given, last)
            yield make("paraphrase_no_relation", bare, last)


def _last_sentence(text: str, subject: str) -> str:
    """The published paraphrase without the unrelated sentence that stands before it."""
    at = text.rfind(subject)
    ends = list(re.finditer(r"[.!?:)\]\"\n]\s+", text[: max(at, 0)]))
    return text[ends[-1].end() :] if ends else text


def _zsre(cases: Sequence[FieldCase]) -> Iterator[ScopeRow]:
    make = _maker("zsre")
    for case in cases:
        fact = _fact(case.edits[0], "")
        if fact is None:
            continue
        for asked in case.asked(QuestionGroup.PARAPHRASE):
            yield make("zsre_rephrase", fact, asked.prompt)
        for asked in case.asked(QuestionGroup.LOCALITY):
            yield make("unrelated", fact, asked.prompt.removeprefix(_NQ), wanted=False)


def _mquake(cases: Iterable[FieldCase]) -> Iterator[ScopeRow]:
    make, seen = _maker("mquake"), set[tuple[str, str]]()
    for case in cases:
        for edit, asked in zip(case.edits, case.asked(QuestionGroup.PARAPHRASE), strict=False):
            given, bare = _fact(edit, edit.relation), _fact(edit, "")
            if given is None or bare is None or (edit.subject, edit.relation) in seen:
                continue
            if not last_span(asked.prompt, edit.subject):
                continue  # an edit without a question: the pairs are shifted
            seen.add((edit.subject, edit.relation))
            yield make("question_form_relation_given", given, asked.prompt)
            yield make("question_form_no_relation", bare, asked.prompt)
            yield make("question_form_one_fact", bare, asked.prompt)


def _trex(
    triples: Sequence[Triple], data: PublicData, wordings: QuestionForms, rng: random.Random
) -> Iterator[ScopeRow]:
    make = _maker("trex")
    for one in triples:
        prompts, question = list(data.prompts[one.relation]), wordings.relations[one.relation]
        rng.shuffle(prompts)
        fact = stated(one.subject, prompts[0], one.object, one.relation)
        asked = question.replace("{}", one.subject)
        yield make("trex_question_form", fact, asked)
        bare = stated(one.subject, prompts[0], one.object)
        yield make("question_form_no_relation", bare, asked)
        yield make("question_form_one_fact", bare, asked)
        for other in prompts[1:2]:
            yield make("trex_unseen_pattern", fact, other.replace("{}", one.subject))
        if one.relation in wordings.persons and (last := surname(one.subject)):
            yield make("surname_only", fact, question.replace("{}", last))
        if wrong := misspelt(one.subject, rng, slips=rng.choice((1, 1, 2))):
            yield make("misspelt_subject", fact, question.replace("{}", wrong))
        for other in typography(one.subject).values():
            yield make("typography", fact, question.replace("{}", other))


def _second_question(
    triples: Sequence[Triple], data: PublicData, wordings: QuestionForms, rng: random.Random
) -> Iterator[ScopeRow]:
    make = _maker("trex")
    others = [asked.prompt for case in data.zsre for asked in case.asked(QuestionGroup.LOCALITY)]
    others = [text.removeprefix(_NQ).rstrip("? ") for text in others]
    for one, other in zip(triples, _shuffled(others, rng), strict=False):
        fact = stated(one.subject, rng.choice(data.prompts[one.relation]), one.object, one.relation)
        question = wordings.relations[one.relation].replace("{}", one.subject)
        joined = (
            f"{other[0].upper()}{other[1:]}, and {question[0].lower()}{question[1:]}",
            f"{question.rstrip('?')}, and {other}?",
        )
        yield make("second_question", fact, rng.choice(joined))


def _same_subject(triples: Sequence[Triple], data: PublicData, wordings: QuestionForms) -> Iterator[ScopeRow]:
    make, of_subject = _maker("trex"), dict[str, list[Triple]]()
    for one in triples:
        of_subject.setdefault(one.subject, []).append(one)
    for rows in of_subject.values():
        for stored, asked in itertools.permutations(rows, 2):
            pair = frozenset({stored.relation, asked.relation})
            if len(pair) == 2 and pair not in wordings.overlapping and stored.object != asked.object:
                prompt = data.prompts[stored.relation][0]
                fact = stated(stored.subject, prompt, stored.object, stored.relation)
                question = wordings.relations[asked.relation].replace("{}", asked.subject)
                yield make("same_subject_other_question", fact, question, wanted=False)
                break


def _many_facts(data: PublicData, wordings: QuestionForms, rng: random.Random) -> Iterator[ScopeRow]:
    """Subjects with `MANY` facts each, asked for some of them and for what is not stored."""
    subjects = {
        "person": [one.subject for one in data.trex if one.relation == "P19" and surname(one.subject)],
        "company": [one.subject for one in data.trex if one.relation == "P159"],
    }
    chosen = {kind: _shuffled(list(dict.fromkeys(names)), rng) for kind, names in subjects.items()}
    for names in zip(*chosen.values(), strict=False):
        for kind, subject in zip(chosen, names, strict=True):
            order = _shuffled(wordings.attributes[kind], rng)
            facts = tuple(stated(subject, prompt, target) for prompt, _, target in order[:MANY])
            for wanted in range(_ASKED):
                question = order[wanted][1].replace("{}", subject)
                yield ScopeRow(
                    kind="many_facts", source="made", facts=facts, question=question, wanted=wanted
                )
            for _, question, _ in order[MANY:]:
                text = question.replace("{}", subject)
                yield ScopeRow(kind="many_facts", source="made", facts=facts, question=text, wanted=None)


def _usable(data: PublicData, wordings: QuestionForms) -> list[Triple]:
    """One triple for each subject and relation, of relations with a prompt and a question form."""
    known = data.prompts.keys() & wordings.relations.keys()
    found: dict[tuple[str, str], Triple] = {}
    for one in data.trex:
        if one.relation in known:
            found.setdefault((one.subject, one.relation), one)
    return list(found.values())


def _maker(source: str) -> Callable[..., ScopeRow]:
    def make(kind: str, fact: Fact, question: str, *, wanted: bool = True) -> ScopeRow:
        return ScopeRow(
            kind=kind, source=source, facts=(fact,), question=question, wanted=0 if wanted else None
        )

    return make


def _fact(edit: FieldEdit, relation: str) -> Fact | None:
    """The fact of an edit; None where its prompt does not name its subject."""
    if edit.template is None or edit.template.count("{}") != 1:
        return None
    return stated(edit.correction("").subject, edit.template, edit.target_new, relation)


def _shuffled(items: Sequence[T], rng: random.Random) -> list[T]:
    return rng.sample(list(items), len(items))
