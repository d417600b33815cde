"""Converts an evaluation to JSON data and to the rows of a table."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.evaluate import Evaluation, WayResult
from guardedit.lab.field.intervals import CONFIDENCE, SAMPLES
from guardedit.lab.field.measures import FREE_UNCHANGED
from guardedit.lab.field.plan import EvaluationPlan
from guardedit.lab.field.summary import MetricValue, as_numbers, summarise
from guardedit.version import VERSION


class Label(NamedTuple):
    """Names one result: the way, the method ("" where none was chosen), and the factor on its price."""

    through: str
    method: str = ""
    price: float = 1.0

    def __str__(self) -> str:
        """For people."""
        by = ", by the policy" if self.method and self.through == "policy" else ""
        return (self.method or self.through) + by + (f", price x{self.price:g}" if self.price != 1 else "")


#: (which cases, label) -> metrics.
Summaries = Mapping[tuple[str, Label], Mapping[str, MetricValue]]
#: The base model in `Summaries`.
BASE = Label("base")
#: Columns of the table of several ways, as far as the data set has questions for them.
SHORT = (
    "ES", "PS", "NS", "S", "reliability", "generalization", "locality", "portability",
    "free_own_contains", "free_paraphrase_contains", "free_others_contain", "multi_hop", "perplexity",
)  # fmt: skip


def summaries(found: Evaluation, plan: EvaluationPlan) -> dict[tuple[str, Label], dict[str, MetricValue]]:
    """The metrics of all cases and of those that the base model knows, for the base model and each way.

    Without known cases, or with nothing else, there is one group of cases. A method that failed is left out.
    """
    groups = {"all": found.selection.cases, "known": _known(found)}
    if plan.known:
        del groups["all"]
    elif len(groups["known"]) in (0, len(groups["all"])):
        del groups["known"]
    names = dict.fromkeys((case.name for case in found.selection.cases), found.base)
    shown: dict[tuple[str, Label], dict[str, MetricValue]] = {}
    for group, cases in groups.items():
        shown[group, BASE] = summarise(cases, names, found.base, seed=plan.seed)
        for way in found.ways:
            if way.problem:
                continue
            metrics = summarise(cases, way.after, found.base, seed=plan.seed)
            shown[group, label_of(way)] = metrics | ({"perplexity": way.perplexity} if way.perplexity else {})
    return shown


def numbers(found: Evaluation, plan: EvaluationPlan, shown: Summaries) -> dict[str, Any]:
    """Everything that was measured, with the settings that it was measured with; NaN where undefined."""
    return {
        "alone": plan.alone,
        "base_sha256": found.base_sha256,
        "seed": plan.seed,
        "form": plan.given_form,
        "cases": len(found.selection.cases),
        "known": len(found.selection.known),
        "known_only": plan.known,
        "left_out": found.selection.left_out,
        "interval": {"confidence": CONFIDENCE, "bootstrap_samples": SAMPLES},
        "free_questions_left_unchanged": FREE_UNCHANGED,
        "texts": len(plan.texts),
        "base": _metrics(shown, BASE),
        "ways": [_way(way, shown) for way in found.ways],
        "versions": {"guardedit": VERSION, "torch": torch.__version__, "python": platform.python_version()},
    }


def _way(way: WayResult, shown: Summaries) -> dict[str, Any]:
    written = way.written
    return {
        "through": way.through,
        "method": way.method or None,
        "price": way.price,
        "problem": way.problem,
        "placements": dict(written.placements) if written else {},
        "seconds_writing": written.seconds if written else math.nan,
        "writing": dict(written.account) if written else {},
        "metrics": _metrics(shown, label_of(way)),
    }


def label_of(way: WayResult) -> Label:
    """The label of a result."""
    return Label(str(way.through), way.method, way.price)


def _metrics(shown: Summaries, which: Label) -> dict[str, Any]:
    """Which cases -> metrics, of one way or of the base model."""
    return {cases: as_numbers(metrics) for (cases, label), metrics in shown.items() if label == which}


def table(shown: Summaries) -> list[dict[str, Any]]:
    """One row for each group of cases and each metric that has a question, for a single way."""
    rows = []
    for (cases, label), metrics in shown.items():
        if label == BASE:
            continue
        base = shown[cases, BASE]
        rows += [
            {
                "cases": cases,
                "metric": name,
                "base": base[name].value if name in base else 1.0,  # the ratio of perplexities
                "after": one.value,
                "low": one.low,
                "high": one.high,
                "n": one.cases,
            }
            for name, one in metrics.items()
            if one.cases
        ]
    return rows


def table_of_ways(found: Evaluation, shown: Summaries) -> list[dict[str, Any]]:
    """One row for each group of cases and each way or method, the base model first."""
    asked = [name for name in SHORT if any(m[name].cases for m in shown.values() if name in m)]
    ways = {label_of(way): way.written for way in found.ways}
    priced = any(way.price != 1 for way in found.ways)
    rows = []
    for (cases, label), metrics in shown.items():
        written = ways.get(label)
        rows.append(
            {
                "cases": cases,
                "through": label.through,
                "method": label.method or None,
                **({"price": label.price if label != BASE else None} if priced else {}),
                **{name: metrics[name].value if name in metrics else math.nan for name in asked},
                "facts": dict(written.placements) if written else None,
                "s_per_edit": written.account.get("seconds_per_edit") if written else None,
            }
        )
    return rows


def _known(found: Evaluation) -> Sequence[FieldCase]:
    return [case for case in found.selection.cases if case.name in found.selection.known]
