"""Converts an evaluation to JSON data and to the rows of a table."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.evaluate import Evaluation, EvaluationPlan
from guardedit.lab.field.intervals import CONFIDENCE, SAMPLES
from guardedit.lab.field.measures import FREE_UNCHANGED
from guardedit.lab.field.summary import MetricValue, as_numbers, summarise
from guardedit.version import VERSION

#: (which cases, which state) -> metrics.
Summaries = Mapping[tuple[str, str], Mapping[str, MetricValue]]


def summaries(found: Evaluation, plan: EvaluationPlan) -> dict[tuple[str, str], dict[str, MetricValue]]:
    """The metrics of all cases and of those that the base model knows, before the edits and after them.

    Without known cases, or with nothing else, there is one group of cases.
    """
    groups = {"all": found.selection.cases, "known": _known(found)}
    if plan.known:
        del groups["all"]
    elif len(groups["known"]) in (0, len(groups["all"])):
        del groups["known"]
    return {
        (name, state): summarise(cases, outcome, found.base, seed=plan.seed)
        for name, cases in groups.items()
        for state, outcome in (("base", found.base), ("after", found.after))
    }


def numbers(found: Evaluation, plan: EvaluationPlan, shown: Summaries) -> dict[str, Any]:
    """Everything that was measured, with the settings that it was measured with; NaN where undefined."""
    return {
        "through": plan.through,
        "method": found.method or None,
        "base_sha256": found.base_sha256,
        "seed": plan.seed,
        "form": plan.given_form,
        "cases": len(found.selection.cases),
        "known": len(found.selection.known),
        "known_only": plan.known,
        "left_out": found.selection.left_out,
        "placements": dict(found.written.placements),
        "seconds_writing": found.written.seconds,
        "writing": dict(found.written.account),
        "interval": {"confidence": CONFIDENCE, "bootstrap_samples": SAMPLES},
        "free_questions_left_unchanged": FREE_UNCHANGED,
        "rows": [
            {"cases": cases, "state": state, "metrics": as_numbers(metrics)}
            for (cases, state), metrics in shown.items()
        ],
        "versions": {"guardedit": VERSION, "torch": torch.__version__, "python": platform.python_version()},
    }


def table(shown: Summaries) -> list[dict[str, Any]]:
    """One row for each group of cases and each metric that has a question."""
    rows = []
    for (cases, state), metrics in shown.items():
        if state != "after":
            continue
        base = shown[cases, "base"]
        rows += [
            {
                "cases": cases,
                "metric": name,
                "base": base[name].value,
                "after": one.value,
                "low": one.low,
                "high": one.high,
                "n": one.cases,
            }
            for name, one in metrics.items()
            if one.cases
        ]
    return rows


def _known(found: Evaluation) -> Sequence[FieldCase]:
    return [case for case in found.selection.cases if case.name in found.selection.known]
