"""How facts are put to a model that guardedit does not prepare: a sentence each, beside the question."""

from __future__ import annotations

from collections.abc import Sequence

from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact
from guardedit.memory.context import stated_target, stated_wording
from guardedit.memory.strategies import STRATEGIES
from guardedit.policy.schema import Policy
from guardedit.policy.sections import ProxySection


def rules_of(policy: Policy) -> ProxySection:
    """How the policy puts facts to a model that another program runs, with the examples of its strategy.

    Raises:
        UsageError: the strategy needs guardedit to run the model.
    """
    name, rules = policy.memory.strategy, policy.proxy
    if STRATEGIES[name].forces:
        raise UsageError(
            f"memory.strategy is {name}, which decodes the answers, but here another program runs the model: "
            "use `guardedit serve`, or the strategy context"
        )
    examples = STRATEGIES[name].examples(lambda facts, asked: f"{statement_of(facts, rules)}\n{asked}")
    return rules.model_copy(update={"statement": f"{examples}\n\n{rules.statement}"}) if examples else rules


def statement_of(facts: Sequence[Fact], rules: ProxySection) -> str:
    """The facts as the policy puts them, each stated once: repeated facts teach a model to skip them.

    >>> from guardedit.core.fact import FactKey
    >>> key, wordings = FactKey("Velmora", "capital"), ("Who rules Velmora?", "Velmora is ruled from")
    >>> fact = Fact(key=key, version=1, correction_id="c1", wordings=wordings, target="Karsk")
    >>> statement_of([fact], ProxySection())
    'Note: Velmora is ruled from Karsk.'
    """
    stated = [
        f"{stated_wording(fact, next((w for w in fact.wordings if '?' not in w), fact.prompt))} "
        f"{stated_target(fact)}."
        for fact in facts
    ]
    return rules.statement.replace("{facts}", " ".join(stated))


def beside(question: str, stated: str, *, before: bool) -> str:
    """The question with the facts as a paragraph of its own, before or after it."""
    return f"{stated}\n\n{question}" if before else f"{question}\n\n{stated}"
