"""Measures the effect of each part of the default editor: the same edits with one part left out each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.compare import MethodResult, Plan, Tell, compare

#: The editor under study.
METHOD = "joint"


@dataclass(frozen=True, slots=True)
class Ablation:
    """One change to the editor.

    Attributes:
        name: name in tables and on the command line.
        setup: full setup -> changed setup.
        case: full case -> what the editor is given.
    """

    name: str
    setup: Callable[[Setup], Setup] = lambda setup: setup
    case: Callable[[EditCase], EditCase] = lambda case: case


def with_joint(**settings: Any) -> Callable[[Setup], Setup]:
    """Change some `JointSettings`."""
    return lambda setup: replace(setup, joint=replace(setup.joint, **settings))


def _background(factor: float) -> Callable[[Setup], Setup]:
    def scaled(setup: Setup) -> Setup:
        weight = factor * setup.settings.background_weight
        return replace(setup, settings=replace(setup.settings, background_weight=weight))

    return scaled


def _one_layer(setup: Setup) -> Setup:
    return replace(setup, layers=(setup.layer,))


def _own_prompt(case: EditCase) -> EditCase:
    return replace(case, fact=replace(case.fact, wordings=case.fact.wordings[:1]))


def _nothing_kept(case: EditCase) -> EditCase:
    return replace(case, keep=())


#: Grouped by what they change: layers, keys, contexts, stopping, length, background, preserved answers.
ABLATIONS: tuple[Ablation, ...] = (
    Ablation("as it is"),
    Ablation("one layer", _one_layer),
    Ablation("keys of bare wordings", with_joint(bare_share=1.0)),
    Ablation("no prefixes", with_joint(contexts=0)),
    Ablation("one prefix", with_joint(contexts=1)),
    Ablation("the own prompt only", case=_own_prompt),
    Ablation("pushed to certainty", with_joint(confidence=1.0)),
    Ablation("no penalty on length", with_joint(norm_penalty=0.0)),
    Ablation("background x 0.1", _background(0.1)),
    Ablation("background x 10", _background(10.0)),
    Ablation("known subjects not avoided", with_joint(subject_direction=0.0, subject_felt=0.0)),
    Ablation("change is free", with_joint(background_price=0.0)),
    Ablation("price by live edits", with_joint(to_come=1.0)),
    Ablation("always in full company", with_joint(company=False)),
    Ablation("other answers unweighted", with_joint(preservation_weight=0.0)),
    Ablation("other answers unknown", case=_nothing_kept),
)


def choose(names: Sequence[str]) -> tuple[Ablation, ...]:
    """The named ablations after the unchanged editor; all of them when `names` is empty.

    Raises:
        UsageError: for an unknown name.
    """
    known = {one.name: one for one in ABLATIONS}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no ablation {name!r}: choose from {', '.join(map(repr, known))}")
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
) -> list[MethodResult]:
    """One result per ablation, named after it and measured by `compare` on the same cases.

    Args:
        setup: setup of the unchanged editor.
        cases: vetted.
        texts: texts for measuring perplexity.
        plan: how much to measure.
        ablations: ablations in order.
        registry: registry of methods; default: all that are registered.
        tell: progress.
    """
    results = []
    for one in ablations:

        def tell_named(_: str, done: int, total: int, name: str = one.name) -> None:
            tell(name, done, total)

        (measured,) = compare(
            one.setup(setup),
            [METHOD],
            [one.case(case) for case in cases],
            texts,
            plan,
            registry=registry,
            tell=tell_named,
        )
        results.append(replace(measured, name=one.name))
    return results
