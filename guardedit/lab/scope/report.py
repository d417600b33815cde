"""Converts the results of a scope benchmark to the rows of tables and to JSON data."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardedit.lab.field.intervals import CONFIDENCE
from guardedit.lab.scope.picture import calibration_error, reliability
from guardedit.lab.scope.results import KindKey, KindLine, Share
from guardedit.lab.scope.rows import ScopeRow
from guardedit.lab.scope.run import WayFound
from guardedit.lab.scope.ways import COSINE
from guardedit.version import VERSION

_MET: Mapping[bool | None, str] = {None: "", True: "met", False: "missed"}


def table_of(way: WayFound, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One row for each line: the share of mistakes in each store, and the interval of the worst one."""
    return [
        {
            "kind": line.key.kind,
            "from": line.key.source,
            "rows": line.rows,
            "mistake": line.mistake.value,
            **{f"{size:,}": _share(line.shares.get(size)) for size in sizes},
            "worst, 95 %": _with_interval(line.worst),
            "wrong fact": _wrong(line),
            "goal": _goal(line),
            "": _MET[line.met],
        }
        for line in way.lines
    ]


def comparison(ways: Sequence[WayFound]) -> list[dict[str, Any]]:
    """One row for each line, with the worst share of every way beside the goal."""
    by_key: dict[KindKey, dict[str, KindLine]] = {}
    for way in ways:
        for line in way.lines:
            by_key.setdefault(line.key, {})[way.name] = line
    rows = []
    for key, lines in by_key.items():
        first = next(iter(lines.values()))
        shown: dict[str, Any] = {
            "kind": key.kind,
            "from": key.source,
            "rows": first.rows,
            "mistake": first.mistake.value,
            "goal": _goal(first),
        }
        for name, line in lines.items():
            shown[name] = _with_interval(line.worst)
            shown[f"{name} wrong fact"] = _wrong(line)
            if name != COSINE:
                shown[f"{name} goal"] = _MET[line.met]
        rows.append(shown)
    return rows


def summary(ways: Sequence[WayFound]) -> list[str]:
    """One sentence for each way: how many goals it meets, and how well its scores are calibrated."""
    lines = []
    for way in ways:
        judged = [line.met for line in way.lines if line.met is not None]
        lines.append(
            f"{way.name}: meets {sum(judged)} of {len(judged)} goals"
            + (
                f", thresholds {', '.join(f'{value:.3f}' for value in way.thresholds)}"
                if way.thresholds
                else f", expected calibration error {calibration_error(reliability(way.found)):.3f}"
            )
        )
    return lines


def numbers(ways: Sequence[WayFound], rows: Sequence[ScopeRow], sizes: Sequence[int]) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "rows": len(rows),
        "rows_sha256": rows_sha256(rows),
        "stores": list(sizes),
        "interval": {"confidence": CONFIDENCE, "method": "Wilson"},
        "ways": [
            {
                "name": way.name,
                "thresholds": list(way.thresholds),
                "lines": [_line(line) for line in way.lines],
                "reliability": [
                    {"from": one.low, "to": one.high, "score": one.score, **_plain(one.right)}
                    for one in (reliability(way.found) if way.name != COSINE else ())
                ],
            }
            for way in ways
        ],
        "versions": {"guardedit": VERSION, "python": platform.python_version()},
    }


def mistakes(ways: Sequence[WayFound]) -> Iterator[dict[str, Any]]:
    """What every way does wrong: one record for each row and store."""
    for way in ways:
        for one in way.found:
            if one.wrong or one.given == (one.row.key is None):
                row, fact = one.row, one.recall.fact
                yield {
                    "way": way.name,
                    "facts": one.size,
                    "kind": row.kind,
                    "from": row.source,
                    "question": row.question,
                    "wanted": None if row.wanted is None else row.facts[row.wanted].statement,
                    "given": None if fact is None else fact.statement,
                    "scope": one.recall.scope,
                    "score": one.recall.score,
                }


def rows_sha256(rows: Sequence[ScopeRow]) -> str:
    """Digest of the rows in their order: questions, facts and labels."""
    digest = hashlib.sha256()
    for row in rows:
        body = [row.kind, row.source, [fact.id for fact in row.facts], row.question, row.wanted]
        digest.update(json.dumps(body).encode() + b"\n")
    return digest.hexdigest()


def _line(line: KindLine) -> dict[str, Any]:
    return {
        **line.key._asdict(),
        "rows": line.rows,
        "mistake": line.mistake,
        "goal": None if line.goal is None else line.goal.most,
        "met": line.met,
        "stores": [
            {"facts": size, **_plain(share), "wrong_fact": _plain(line.wrong[size])}
            for size, share in line.shares.items()
        ],
    }


def _plain(share: Share) -> dict[str, Any]:
    """A share for JSON; `count` is of mistakes, or in a reliability bin of right ones."""
    low, high = share.interval
    return {"count": share.mistakes, "rows": share.rows, "share": share.value, "low": low, "high": high}


def _goal(line: KindLine) -> str | None:
    return None if line.goal is None else f"<= {line.goal.most:.3g}"


def _share(share: Share | None) -> str | None:
    return None if share is None or not share.rows else f"{share.value:.3f}"


def _with_interval(share: Share) -> str | None:
    low, high = share.interval
    return f"{share.value:.3f} [{low:.3f}, {high:.3f}]" if share.rows else None


def _wrong(line: KindLine) -> str | None:
    return f"{line.worst_wrong.value:.3f}" if line.key.wanted else None
