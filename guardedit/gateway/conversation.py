"""Which text of a request is judged by the memory, and where a fact is stated in it. Text only.

The question of a conversation is its last user turn. A turn such as "And what is its capital?" names no
subject; then the memory is also asked with the pronoun replaced by each subject that earlier user turns name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardedit.core.fact import Fact
from guardedit.memory.context import Announcement, respelt
from guardedit.memory.questions.clauses import refers, with_subject
from guardedit.models.text.form import Turn

#: Earlier user turns that are searched for the subject of a pronoun.
_TURNS_BACK = 3


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """The question of a request.

    Attributes:
        text: as it was asked.
        earlier: the user's turns before it, the latest first.
    """

    text: str
    earlier: tuple[str, ...] = ()

    def readings(self, subjects_in: Callable[[Sequence[str]], Sequence[Sequence[str]]]) -> list[str]:
        """The texts to ask the memory with, in the order of preference; the first is the question itself.

        Args:
            subjects_in: for each text, the known subjects that it names, as they are spelled there. Called
                only if a pronoun may stand for a subject of an earlier turn.

        >>> question = AskedQuestion("And what is its capital?", ("Where is Velmora?",))
        >>> question.readings(lambda texts: [["Velmora"] if "Velmora" in text else [] for text in texts])
        ['And what is its capital?', "And what is Velmora's capital?"]
        """
        if not self.earlier or not refers(self.text):
            return [self.text]
        mine, *before = subjects_in([self.text, *self.earlier[:_TURNS_BACK]])
        if mine:
            return [self.text]
        named = dict.fromkeys(subject for found in before for subject in reversed(found))
        return [self.text, *(with_subject(self.text, subject) for subject in named)]


def question_of(turns: Sequence[Turn]) -> AskedQuestion | None:
    """The question of a conversation: its last user turn. None where that turn has no text."""
    asked = [turn.content for turn in turns if turn.role == "user"]
    if not asked or not asked[-1].strip():
        return None
    return AskedQuestion(asked[-1], tuple(reversed(asked[:-1])))


def question_of_prompt(prompt: str) -> AskedQuestion | None:
    r"""The question of a plain prompt: its last line that is not empty.

    >>> question_of_prompt("Q: Where is Oslo?\nA: Norway\nOslo is in")
    AskedQuestion(text='Oslo is in', earlier=())
    """
    lines = [line for line in prompt.splitlines() if line.strip()]
    return AskedQuestion(lines[-1].strip(" ")) if lines else None


def turns_with_facts(
    turns: Sequence[Turn], used: Sequence[Fact], stated: Sequence[Fact], announcement: Announcement
) -> list[Turn]:
    """The conversation with facts beside the last user turn.

    What the announcement says in the system's turn comes before the turns: it is what was measured for this
    model.

    Args:
        turns: the conversation.
        used: facts whose subjects are respelled.
        stated: those of them that are stated.
        announcement: how.
    """
    at = max(n for n, turn in enumerate(turns) if turn.role == "user")
    question = respelt(used, turns[at].content)
    found = list(turns)
    if not stated:
        found[at] = Turn("user", question)
        return found
    facts = announcement.stated(stated, question)
    found[at] = Turn("user", announcement.user.format(facts=facts, question=question))
    system = announcement.system.format(facts=facts)
    if not system:
        return found
    if found[0].role == "system":
        return [Turn("system", f"{found[0].content}\n\n{system}"), *found[1:]]
    return [Turn("system", system), *found]


def prompt_with_facts(
    prompt: str, used: Sequence[Fact], stated: Sequence[Fact], announcement: Announcement
) -> str:
    """The prompt with facts before its last line; arguments as for `turns_with_facts`."""
    body = prompt.rstrip()
    start = body.rfind("\n") + 1
    question = respelt(used, body[start:])
    if stated:
        question = announcement.asked(stated, question)
    return body[:start] + question
