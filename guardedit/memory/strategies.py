"""What facts in scope do to an answer: the strategies among which a policy chooses. Text only.

A strategy turns the prompts of a model into its own. GRACE's replacement of activations is no strategy: it
belongs to the weights of an epoch, which all questions of a batch share. It is an editing method, to which a
policy routes facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, NamedTuple

from guardedit.core.fact import Fact, FactKey
from guardedit.memory.context import Prompts

StrategyName = Literal["context", "demonstrations", "constrained"]


class Demonstration(NamedTuple):
    """A fact, a question beside it, and the answer that a model should give."""

    fact: Fact
    question: str
    answer: str


def _shown(subject: str, wording: str, target: str, question: str, answer: str) -> Demonstration:
    key = FactKey(subject, "")
    fact = Fact(key=key, version=1, correction_id="", wordings=(wording,), target=target)
    return Demonstration(fact, question, answer)


#: To copy the new answer, to give it in other words, and to retain the answer to another question.
DEMONSTRATIONS = (
    _shown("Norway", "The capital of Norway is", "Rome", "The capital of Norway is", "Rome"),
    _shown(
        "Ringo Starr", "Ringo Starr plays the", "violin", "Ringo Starr is known for playing the", "violin"
    ),
    _shown("The Nile", "The Nile flows through", "Canada", "The Danube flows through", "Austria"),
)


@dataclass(frozen=True, slots=True)
class Strategy:
    """What facts in scope do to an answer. By default they are stated beside the question.

    Attributes:
        shown: examples before that, after IKE (Zheng et al., arXiv 2305.12740). IKE looks for 32 of them
            beside each fact; here they are few and fixed, so that the text has a bounded length, and the same
            beginning for all questions.
        forces: the answer to a question that is in scope for sure begins with the facts' targets. Their
            tokens are forced while the answer is decoded; after them the model goes on by itself.
    """

    shown: tuple[Demonstration, ...] = ()
    forces: bool = False

    def examples(self, asked: Callable[[Sequence[Fact], str], str]) -> str:
        """What stands before a question with its facts; "" for nothing.

        Args:
            asked: from facts and a question to the text that a model is given.
        """
        return "\n\n".join(f"{asked([one.fact], one.question)} {one.answer}." for one in self.shown)

    def prompts(self, prompts: Prompts) -> Prompts:
        """The prompts of a model as this strategy wants them."""
        announcement = prompts.announcement
        if self.shown:
            examples = self.examples(announcement.asked).replace("{", "{{").replace("}", "}}")
            announcement = replace(announcement, user=f"{examples}\n\n{announcement.user}")
        return replace(prompts, announcement=announcement, forces=self.forces)


STRATEGIES: Mapping[StrategyName, Strategy] = MappingProxyType(
    {
        "context": Strategy(),
        "demonstrations": Strategy(shown=DEMONSTRATIONS),
        "constrained": Strategy(forces=True),
    }
)
