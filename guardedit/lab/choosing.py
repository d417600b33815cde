"""Chooses the facts that an experiment edits or traces: from a file, or from facts that the model knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from guardedit import assembly
from guardedit.core.errors import UsageError
from guardedit.editing.filters import find_filter
from guardedit.editing.registry import ANCHORED, SEPARATOR, Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.cases import EditCase, vetted
from guardedit.lab.editors.given_facts import given_cases, read_corrections
from guardedit.lab.editors.world_facts import world_cases
from guardedit.lab.locating.statements import Statement, read_statements
from guardedit.models.host import ModelHost
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.text.spans import Expected, score_spans
from guardedit.policy.schema import Policy
from guardedit.settings import Settings
from guardedit.zoo.probes import known_world, read_texts
from guardedit.zoo.world import World

#: Facts chosen beyond the number wanted, because the model may know some of them already.
SPARE = 16
#: (model, number of facts) -> cases of facts that it knows.
Choose = Callable[[ModelHost, int], Sequence[EditCase]]


def cases_to_edit(
    settings: Settings, path: Path | None, *, count: int, seed: int
) -> tuple[list[EditCase], tuple[str, ...]]:
    """Facts to edit, and texts to measure perplexity on. Loads no model.

    Editing methods never see these texts.

    Args:
        settings: names the model, and with it the probe set.
        path: corrections in JSON Lines; None: facts of the demo model's own world.
        count: most facts to return.
        seed: seed of the choice of facts and questions.

    Raises:
        UsageError: `count` is 0, the file cannot be read, or `path` is None for a model other than the demo
            model.
    """
    if count < 1:
        raise UsageError("no edits are asked for: give --single or --sequential a number above 0")
    if path is not None:
        corrections = read_corrections(path)  # before the probe set: most mistakes are in this file
        probes = assembly.load_probes(settings)
        return given_cases(corrections, probes, seed=seed)[:count], probes.texts
    if settings.model:
        raise UsageError("there are no facts to edit for this model: give --facts FILE.jsonl")
    known = [(q.subject, q.relation, q.prompt) for q in assembly.load_probes(settings).questions]
    world = known_world(World.load(), known)
    return world_cases(world, count=count, seed=seed), tuple(read_texts("evaluation"))


def unknown_to(host: ModelHost, cases: Sequence[EditCase]) -> list[EditCase]:
    """The cases whose target the model does not answer already, vetted (see `cases.vetted`).

    Raises:
        UsageError: there is no such case.
    """
    found = vetted(cases, lambda guesses: complete_guessed(host, guesses))
    if not found:
        raise _nothing_to_edit(len(cases))
    return found


def check_methods(registry: Registry, names: Sequence[str]) -> None:
    """Check names such as `memit+rect` before a model is loaded.

    Raises:
        UsageError: for an unknown method, or an unknown filter or option after a `+`.
    """
    for name in names:
        method, *additions = name.split(SEPARATOR)
        registry.resolve(method)
        for addition in additions:
            if addition != ANCHORED:
                find_filter(addition)


def statements_to_trace(settings: Settings, path: Path | None) -> tuple[Statement, ...]:
    """Statements from a file, or the known questions of the model's probe set.

    Raises:
        UsageError: the file cannot be read, or there is no probe set.
    """
    if path is not None:
        return read_statements(path)
    try:
        known = assembly.load_probes(settings).questions
    except UsageError as error:
        raise UsageError(f"{error}; or give --facts FILE") from error
    return tuple(Statement(prompt=q.prompt, subject=q.subject, answer=q.answer) for q in known)


def model_name(settings: Settings) -> str:
    """The base model's name for the title of a picture."""
    return Path(settings.model).name if settings.model else "the demo model"


def setup_for_bench(
    settings: Settings,
    policy: Policy,
    path: Path | None,
    *,
    count: int,
    threads: int,
    seed: int,
    known: Choose | None = None,
) -> tuple[Setup, list[EditCase]]:
    """Load the model and choose facts to edit, for measurements of speed.

    Args:
        settings: names the model.
        policy: its editing section.
        path: as for `cases_to_edit`.
        count: facts wanted. There may be fewer, or up to `SPARE` more.
        threads: threads of PyTorch; 0: as many as PyTorch chooses.
        seed: seed of the choice of facts.
        known: chooses facts for a model other than the demo model where there is no file.

    Returns:
        Setup, and cases that have no questions but those about their own fact.

    Raises:
        UsageError: there are no facts to edit.
    """
    if threads:
        torch.set_num_threads(threads)
    ask_model = known if path is None and settings.model else None
    cases = [] if ask_model else cases_to_edit(settings, path, count=count + SPARE, seed=seed)[0]
    setup = assembly.load_setup(settings, policy, seed=seed)
    if ask_model:
        cases = list(ask_model(setup.host, count))
    return setup, _not_said(setup.host, cases)


def _not_said(host: ModelHost, cases: Sequence[EditCase]) -> list[EditCase]:
    """The cases whose target the model does not say, with the questions about their own fact only."""
    spans = score_spans(host, [Expected(case.fact.prompt, case.fact.target) for case in cases])
    bare = [replace(case, same_subject=(), other_subject=(), portable=()) for case in cases]
    found = [case for case, span in zip(bare, spans, strict=True) if not span.said]
    if not found:
        raise _nothing_to_edit(len(cases))
    return found


def _nothing_to_edit(cases: int) -> UsageError:
    return UsageError(
        f"nothing to edit: the model already answers all {cases} facts with their targets; give other facts"
    )
