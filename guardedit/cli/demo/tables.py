"""The demo's result for people: numbers and what stands beside them, placements, lines meant to ruin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guardedit.cli.terminal import show
from guardedit.cli.terminal.show import Output

#: Columns beside the system's own numbers.
BESIDE = ("guard_off", "original_rome")


def print_tables(found: dict[str, Any], report: Path) -> None:
    """Everything, in tables; `found` is the report as it is written."""
    for title, table in (
        ("", numbers(found)),
        ("exact_match and paraphrase by placement, and of the same facts from memory alone", places(found)),
        (_rule(found), disabling(found)),
    ):
        for text in ("", title) if title else ():
            show.line({}, Output.TABLE, text)
        show.rows(table, list(table[0]), Output.TABLE, empty="")
    for text in ("", *notes(found), summary(found, report)):
        show.line({}, Output.TABLE, text)


def numbers(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Every number with its limit, then those without one; beside them the comparisons."""
    from guardedit.demo.report import TOLD, rows

    def beside(name: str) -> dict[str, Any]:
        return {column: found.get(column, {}).get(name) for column in BESIDE}

    return [
        *(
            {
                "number": row.threshold.name,
                "value": row.value,
                "wanted": f"{row.threshold.sign} {row.threshold.limit:.3g}",
                "result": "pass" if row.met else "MISS",
                **beside(row.threshold.name),
                "meaning": row.threshold.meaning,
            }
            for row in rows(found)
        ),
        *(
            {
                "number": name,
                "value": found.get(name),
                "wanted": "",
                "result": "",
                **beside(name),
                "meaning": meaning,
            }
            for name, meaning in TOLD.items()
        ),
    ]


def places(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a placement."""
    alone = found.get("memory_alone", {}).get("by_placement", {})
    return [
        {
            "placement": place,
            **scores,
            "memory_alone_exact_match": alone.get(place, {}).get("exact_match"),
            "memory_alone_paraphrase": alone.get(place, {}).get("paraphrase"),
        }
        for place, scores in found["by_placement"].items()
    ]


def disabling(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a line that was sent to ruin the model."""
    return [
        {
            "edit": row["kind"],
            "perplexity_ratio": row["perplexity_ratio"],
            "answers_lost": row["answers_lost"],
            "disabling": "yes" if row["disabling"] else "no model" if row["problem"] else "NO",
            "question": f"{row['prompt']} {row['target']}",
            "kept_out": row["kept_out"].partition(";")[0],
        }
        for row in found["disabling"]
    ]


def notes(found: dict[str, Any]) -> list[str]:
    """What the columns of the comparisons are, and where each of them ended."""
    names = {
        "guard_off": "guard_off: the same system, editor and batches with the guard off, on one core",
        "original_rome": "original_rome: each fact straight into the weights as first published, no memory, "
        "on one core",
    }
    lines = []
    for column, name in names.items():
        if row := found.get(column):
            ended = (
                f"the model was gone after {row['lines']} lines, so it was stopped there and asked what it "
                "had been told by then"
                if row["gone"]
                else f"all {row['lines']} lines"
            )
            lines.append(f"{name}; {row['edits']} edits in {row['seconds']:.0f} s; {ended}.")
    return lines


def summary(found: dict[str, Any], report: Path) -> str:
    """The rest in a few sentences."""
    facts = found["facts"]
    guard = found["guard_seconds"] / found["seconds"]
    return (
        f"{facts['weights']} facts in the weights, {facts['memory']} in memory; "
        f"{found['turned_away']} turned away by the guard, "
        f"{found['turned_away_full']} because the layer was full "
        f"({found['capacity_ratio']:.0%} of its free rank in use, {found['capacity_limit']:.0%} allowed); "
        f"{found['seconds_per_correction']:.2f} s a correction, {guard:.0%} of it the guard's; "
        f"{found['mining_seconds']:.0f} s to find the disabling edits, {found['seconds_total'] / 60:.1f} "
        f"minutes in all, {found['peak_memory_bytes'] / 2**30:.1f} GiB. "
        f"Report: {report}, picture: {report.with_suffix('.png')}"
    )


def _rule(found: dict[str, Any]) -> str:
    rule, on, worst = found["disabling_rule"], found["disabling_measured_on"], found["served_worst"]
    return (
        f"disabling: perplexity at least x{rule['perplexity_ratio']:g}, or {rule['answers_lost']:.0%} of the "
        f"answers lost, alone in the base model, on {on['texts']} texts and {on['questions']} questions that "
        f"neither guard nor model saw; the worst of {found['served_weights']} sets of weights that were "
        f"served: x{worst['perplexity_ratio']:.3f}, {worst['answers_lost']:.1%} lost"
    )
