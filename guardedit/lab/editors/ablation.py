"""What each measure of the default editor buys: the same edits with one measure at a time left out.

Knows the joint editor's dials and how methods are compared. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.compare import Measured, Plan, Tell, compare

#: The editor that is taken apart.
METHOD = "joint"


@dataclass(frozen=True, slots=True)
class Ablation:
    """One measure left out, or another in its place.

    Attributes:
        name: as the table says it.
        setup: of the editor, from that of the editor as it is.
        given: what a case looks like to the editor.
    """

    name: str
    setup: Callable[[Setup], Setup] = lambda setup: setup
    given: Callable[[EditCase], EditCase] = lambda case: case


def dial(**dials: Any) -> Callable[[Setup], Setup]:
    """Another position of the joint editor's dials."""
    return lambda setup: replace(setup, joint=replace(setup.joint, **dials))


def _background(factor: float) -> Callable[[Setup], Setup]:
    def weighed(setup: Setup) -> Setup:
        weight = factor * setup.settings.background_weight
        return replace(setup, settings=replace(setup.settings, background_weight=weight))

    return weighed


def _one_layer(setup: Setup) -> Setup:
    return replace(setup, layers=(setup.layer,))


def _own_prompt(case: EditCase) -> EditCase:
    return replace(case, fact=replace(case.fact, wordings=case.fact.wordings[:1]))


def _nothing_kept(case: EditCase) -> EditCase:
    return replace(case, keep=())


#: In the order of the issue they answer: where, keys, contexts, when to stop, length, background, keeping.
ABLATIONS: tuple[Ablation, ...] = (
    Ablation("as it is"),
    Ablation("one layer", _one_layer),
    Ablation("keys of bare wordings", dial(bare_share=1.0)),
    Ablation("no prefixes", dial(contexts=0)),
    Ablation("one prefix", dial(contexts=1)),
    Ablation("the own prompt only", given=_own_prompt),
    Ablation("pushed to certainty", dial(confidence=1.0)),
    Ablation("no penalty on length", dial(norm_penalty=0.0)),
    Ablation("background x 0.1", _background(0.1)),
    Ablation("background x 10", _background(10.0)),
    Ablation("known subjects not avoided", dial(subject_direction=0.0, subject_felt=0.0)),
    Ablation("change is free", dial(background_price=0.0)),
    Ablation("price by live edits", dial(to_come=1.0)),
    Ablation("always in full company", dial(company=False)),
    Ablation("other answers unweighted", dial(preservation_weight=0.0)),
    Ablation("other answers unknown", given=_nothing_kept),
)


def choose(names: Sequence[str]) -> tuple[Ablation, ...]:
    """Those named, the editor as it is always first; all without a name.

    Raises:
        UsageError: for an unknown name.
    """
    known = {one.name: one for one in ABLATIONS}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no ablation {name!r}: choose of {', '.join(map(repr, known))}")
    wanted = {ABLATIONS[0].name, *names} if names else set(known)
    return tuple(one for one in ABLATIONS if one.name in wanted)


def ablate(
    setup: Setup,
    cases: Sequence[EditCase],
    texts: Sequence[str],
    plan: Plan,
    *,
    ablations: Sequence[Ablation] = ABLATIONS,
    registry: Registry | None = None,
    tell: Tell = lambda *_: None,
) -> list[Measured]:
    """One row an ablation, measured as `compare` measures methods, on the same cases.

    Args:
        setup: of the editor as it is.
        cases: vetted.
        texts: for the perplexity.
        plan: how much.
        ablations: in order.
        registry: of methods; default: all that are registered.
        tell: progress.
    """
    found = []
    for one in ablations:

        def named(_: str, done: int, total: int, name: str = one.name) -> None:
            tell(name, done, total)

        (measured,) = compare(
            one.setup(setup),
            [METHOD],
            [one.given(case) for case in cases],
            texts,
            plan,
            registry=registry,
            tell=named,
        )
        found.append(replace(measured, name=one.name))
    return found
