"""Prints the demo's report as tables: numbers with limits, comparisons, placements, disabling messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guardedit.cli.terminal import show
from guardedit.cli.terminal.show import Output

#: Fields of the report with the runs for comparison, one column for each that was run.
COMPARISONS = ("guard_off", "original_rome")


def print_tables(found: dict[str, Any], report: Path) -> None:
    """Print the whole report; `found` is its JSON object."""
    for title, table in (
        ("", numbers(found)),
        (_places_title(found), places(found)),
        (_rule(found), disabling(found)),
    ):
        for text in ("", title) if title else ():
            show.line({}, Output.TABLE, text)
        show.rows(table, list(table[0]), Output.TABLE, empty="")
    for text in ("", *notes(found), summary(found, report)):
        show.line({}, Output.TABLE, text)


def numbers(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each number: first those with a limit, then those without; with the comparisons."""
    from guardedit.demo.report import WITHOUT_LIMIT, threshold_results

    def compared(name: str) -> dict[str, Any]:
        return {column: found[column].get(name) for column in COMPARISONS if column in found}

    return [
        *(
            {
                "number": row.threshold.name,
                "value": row.value,
                "wanted": f"{row.threshold.sign} {row.threshold.limit:.3g}",
                "result": "pass" if row.met else "MISS",
                **compared(row.threshold.name),
                "meaning": row.threshold.meaning,
            }
            for row in threshold_results(found)
        ),
        *(
            {
                "number": name,
                "value": found.get(name),
                "wanted": "",
                "result": "",
                **compared(name),
                "meaning": meaning,
            }
            for name, meaning in WITHOUT_LIMIT.items()
        ),
    ]


def places(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each placement."""
    rows = [{"placement": place, **scores} for place, scores in found["by_placement"].items()]
    if alone := found.get("memory_alone", {}).get("by_placement"):
        for row in rows:
            for name in ("exact_match", "paraphrase"):
                row[f"memory_alone_{name}"] = alone[row["placement"]][name]
    return rows


def _places_title(found: dict[str, Any]) -> str:
    title = "exact_match and paraphrase by placement"
    return f"{title}, and for the same facts with memory alone" if "memory_alone" in found else title


def disabling(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each message whose edit would disable the model."""
    return [
        {
            "edit": row["kind"],
            "perplexity_ratio": row["perplexity_ratio"],
            "answers_lost": row["answers_lost"],
            "disabling": "yes" if row["disabling"] else "unfoldable" if row["problem"] else "NO",
            "question": f"{row['prompt']} {row['target']}",
            "kept_out": row["kept_out"].partition(";")[0],
        }
        for row in found["disabling"]
    ]


def notes(found: dict[str, Any]) -> list[str]:
    """One sentence for each comparison run: what it is, and where it ended."""
    names = {
        "guard_off": "guard_off: the same system, editor and batches without the guard, on one core",
        "original_rome": "original_rome: each fact edited into the weights at once by ROME as published, "
        "without memory, on one core",
    }
    lines = []
    for column, name in names.items():
        if row := found.get(column):
            ended = (
                f"the model was unusable after {row['lines']} messages, so the run was stopped there and "
                "asked only about those"
                if row["gone"]
                else f"all {row['lines']} messages"
            )
            lines.append(f"{name}; {row['edits']} edits in {row['seconds']:.0f} s; {ended}.")
    return lines


def summary(found: dict[str, Any], report: Path) -> str:
    """The remaining numbers in a few sentences."""
    facts = found["facts"]
    picture = (
        f"picture: {found['picture']}" if found["picture"] else "without a picture: matplotlib is missing"
    )
    guard = found["guard_seconds"] / found["seconds"]
    return (
        f"{facts['weights']} facts in the weights, {facts['memory']} in memory; "
        f"{found['turned_away']} kept in memory by the guard, "
        f"{found['turned_away_full']} because the layer was full "
        f"({found['capacity_ratio']:.0%} of its free rank in use, {found['capacity_limit']:.0%} allowed); "
        f"{found['seconds_per_correction']:.2f} s per correction, {guard:.0%} of it for the guard; "
        f"{found['mining_seconds']:.0f} s to find the disabling edits, {found['seconds_total'] / 60:.1f} "
        f"minutes in total, at most {found['peak_memory_bytes'] / 2**30:.1f} GiB of memory. "
        f"Report: {report}, {picture}"
    )


def _rule(found: dict[str, Any]) -> str:
    rule, on, worst = found["disabling_rule"], found["disabling_measured_on"], found["served_worst"]
    return (
        f"an edit is disabling if, alone in the base model, it multiplies perplexity by at least "
        f"{rule['perplexity_ratio']:g} or loses {rule['answers_lost']:.0%} of the answers, on {on['texts']} "
        f"texts and {on['questions']} questions that neither guard nor model saw; the worst of all "
        f"served weights: x{worst['perplexity_ratio']:.3f}, {worst['answers_lost']:.1%} of the answers lost"
    )
