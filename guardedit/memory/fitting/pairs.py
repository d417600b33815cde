"""Labelled pairs of a question and a fact, made from relations: what the judge is trained and measured on.

In both texts of a pair the subject is `SLOT`, so the judge learns what is asked and not who it is about. The
hard part of the task is in the pairs that are out of scope: most of them share the subject, and many the relation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guardedit.memory.fitting.relations import SUBJECT, VALUE, Relation
from guardedit.memory.judge.texts import SLOT, fact_text

#: Around a question, as people write in a chat. `{q}` is the question.
_AROUND = (
    "Hi! {q}", "hello, {q}", "Hey there. {q} Thanks!", "Quick question: {q}", "{q} Thank you in advance.", "Sorry to bother you again. {q}",
    "ok so {q}", "{q} I need it for a report.", "My colleague and I could not agree. {q}", "Thanks, that helped. Now tell me: {q}",
    "{q} Please answer in one word.", "I am preparing a quiz for Saturday. {q}", "Good morning, {q}", "{q} Asking for a friend.", "um, {q}",
    "One more thing. {q}", "{q} I tried to look it up and found nothing.", "Please be brief. {q}", "No idea where to look this up... {q}",
)  # fmt: skip

#: Other questions in the same message, about something else. They change nothing about the scope.
_ALSO = (
    "what time is it", "who painted the Mona Lisa", "how far away is the moon", "what is the boiling point of water",
    "who won the match last night", "how do I boil an egg", "what is 17 times 23", "when does the library open",
    "who wrote Hamlet", "how many legs does a spider have", "what does the word serendipity mean", "is it going to rain today",
    "which planet is the largest", "how long does it take to fly to Sydney", "what is the best pizza in town",
    "can you recommend a good book", "who discovered penicillin", "where can I park nearby", "how old is the universe",
)  # fmt: skip

#: What may follow a name and make it the name of something else.
_LONGER_AFTER = (
    "{} Street", "{} Records", "{} Marketplace", "{} Junior", "{} Park", "{} Airport", "{} Foundation", "{} University", "{} II", "{} Jr.",
    "{} Music", "{} River", "{} County", "{} Film Festival", "{} Stadium", "{} Museum", "{} Prize", "{} Bank", "{} Watch", "{} Cloud",
    "{} Asia Pacific", "{} and the Lost City", "{}, New Hampshire", "{} (film)", "{} the band", "{}'s brother", "{}'s mother", "{} United",
    "{} Pro Max", "{} 2", "{} Kids", "{}: The Return", "{} Square", "{} Lake", "{} Bridge", "{} Hospital", "{} family", "{} Hotel", "{}town",
    "{}'s wife", "{}'s biggest rival", "{} Ventures", "{} Labs", "{} Day", "{} Cup", "{} Memorial", "{} Lite", "{} Premium",
)  # fmt: skip
_LONGER_BEFORE = (
    "New {}", "the Bank of {}", "Little {}", "the University of {}", "North {}", "Saint {}", "the Republic of {}", "Lake {}", "Mount {}",
    "Young {}", "Radio {}", "the mayor of {}", "the father of {}", "the film about {}", "Mrs {}", "Real {}", "Fort {}", "the rival of {}",
    "the successor of {}", "the city council of {}", "the Museum of {}", "the Friends of {}", "Super {}", "East {}", "the author of {}",
)  # fmt: skip

#: The name as a common word, or in passing.
_COMMON = (
    "it was a {} struggle and now I wonder", "we bought some {} at the market", "the {} was shining this morning",
    "I had a {} for breakfast", "my dog is called {}", "she felt quite {} about it", "there is a {} in my garden",
)  # fmt: skip
_IN_PASSING = (
    "I was just reading about {}.", "My teacher mentioned {} yesterday.", "We went from {} straight to the station.",
    "A friend of mine loves {}.", "Unlike {}, this is simple.", "Not about {} this time:", "Let us leave {} aside.",
    "You told me about {} before, thanks.", "{} was mentioned in the same article.", "Never mind {}.",
)  # fmt: skip


class Pair(NamedTuple):
    """A question and a fact, both with `SLOT` for the subject, and whether the fact answers the question.

    Attributes:
        question: what is asked.
        fact: the fact as text, see `judge.texts.fact_text`.
        in_scope: whether the fact answers it.
        kind: of pair, for reports.
        relation: of the fact.
    """

    question: str
    fact: str
    in_scope: bool
    kind: str
    relation: str


def make_pairs(relations: Sequence[Relation], *, seed: int, rounds: int = 1) -> Iterator[Pair]:
    """Labelled pairs about every relation, in the order of the relations.

    Args:
        relations: at least two.
        seed: of the choice of wordings, answers and changes.
        rounds: how often each wording is used.
    """
    rng = random.Random(seed)
    by_kind: dict[str, list[Relation]] = {}
    for relation in relations:
        by_kind.setdefault(relation.kind, []).append(relation)
    for relation in relations:
        siblings = [one for one in by_kind[relation.kind] if one is not relation]
        others = [one for one in relations if one is not relation]
        for _ in range(rounds):
            yield from _pairs_of(relation, siblings, others, rng)


def _pairs_of(
    relation: Relation, siblings: Sequence[Relation], others: Sequence[Relation], rng: random.Random
) -> Iterator[Pair]:
    def pair(question: str, in_scope: bool, kind: str) -> Pair:
        return Pair(question, _fact(relation, rng), in_scope, kind, relation.relation)

    for kind, text in relation.in_scope():
        question = _filled(text, relation, rng)
        yield pair(_as_typed(question, rng), True, kind)
        if kind == "asked":
            yield from (
                pair(_as_typed(made, rng), False, why)
                for made, why in _other_name(question, relation, others, rng)
            )
    for kind, text in relation.out_of_scope():
        yield pair(_as_typed(_filled(text, relation, rng), rng), False, kind)
    for _ in range(16):
        other = rng.choice(siblings if siblings and rng.random() < 0.7 else others)
        yield pair(_as_typed(_asked(other, rng), rng), False, "other_relation")
    for _ in range(4):  # two questions in one message: in scope if one of them is
        right, wrong = _asked(relation, rng), _filled(rng.choice(relation.beside), relation, rng)
        first, second = (right, wrong) if rng.random() < 0.5 else (wrong, right)
        yield pair(_joined(first, second, rng), True, "second_question")
        yield pair(_joined(wrong, _asked(rng.choice(others), rng), rng), False, "second_question_out")


def _other_name(
    question: str, relation: Relation, others: Sequence[Relation], rng: random.Random
) -> Iterator[tuple[str, str]]:
    """At times a question for the same relation of something else that has the subject's name in it."""
    draw = rng.random()
    if draw < 0.25:
        form = rng.choice(_LONGER_AFTER if rng.random() < 0.65 else _LONGER_BEFORE)
        yield question.replace(SLOT, form.replace(SUBJECT, SLOT), 1), "longer_name"
    elif draw < 0.35:
        about = rng.choice([name for name in relation.subjects])
        passing = rng.choice(_IN_PASSING).replace(SUBJECT, SLOT)
        yield f"{passing} {question.replace(SLOT, about)}", "in_passing"
    elif draw < 0.45:
        common = rng.choice(_COMMON).replace(SUBJECT, SLOT)
        asked = rng.choice(
            [
                "who was it",
                "where is that",
                "what is it called",
                "when was that",
                question.replace(SLOT, "it").rstrip("?"),
            ]
        )
        yield f"{common[0].upper()}{common[1:]}, {asked[0].lower()}{asked[1:]}?", "common_word"


def _fact(relation: Relation, rng: random.Random) -> str:
    draw = rng.random()
    texts = relation.statements if draw < 0.6 else relation.asked if draw < 0.85 else relation.continued
    return fact_text(rng.choice(texts).replace(SUBJECT, SLOT), rng.choice(relation.values))


def _asked(relation: Relation, rng: random.Random) -> str:
    texts = rng.choice(
        (
            relation.asked,
            relation.asked,
            relation.search,
            relation.continued,
            relation.statements,
            relation.yes_no,
        )
    )
    return _filled(rng.choice(texts), relation, rng)


def _filled(text: str, relation: Relation, rng: random.Random) -> str:
    return text.replace(SUBJECT, SLOT).replace(VALUE, rng.choice(relation.values))


def _joined(first: str, second: str, rng: random.Random) -> str:
    first = first.rstrip("?. ")
    if rng.random() < 0.5:
        return f"{first}? {second}"
    return (
        f"{first} and {second[:1].lower()}{second[1:]}"
        if second[:1].isupper() and not second.startswith(SLOT)
        else f"{first} and {second}"
    )


def _as_typed(question: str, rng: random.Random) -> str:
    """The question as somebody may type it: in a chat, beside another question, in small letters."""
    draw = rng.random()
    if draw < 0.10:
        question = rng.choice(_AROUND).replace("{q}", question)
    elif draw < 0.20:
        also = rng.choice(_ALSO)
        bare = question.rstrip("?. ")
        lowered = bare if bare.startswith(SLOT) else bare[:1].lower() + bare[1:]
        question = rng.choice(
            (
                f"{also[0].upper()}{also[1:]} and {lowered}?",
                f"{bare}? And {also}?",
                f"{bare}, and {also}?",
                f"{also[0].upper()}{also[1:]}? {question}",
            )
        )
    if rng.random() < 0.15:
        question = question.lower().replace(SLOT.lower(), SLOT)
    if rng.random() < 0.12:
        question = question.rstrip("?. ")
    if rng.random() < 0.08:
        question = _misspelt(question, rng)
    return question


def _misspelt(question: str, rng: random.Random) -> str:
    """One word, not the subject, with two neighbouring letters in the wrong order."""
    words = question.split(" ")
    usable = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 4]
    if not usable:
        return question
    i = rng.choice(usable)
    at = rng.randrange(1, len(words[i]) - 2)
    word = words[i]
    words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
