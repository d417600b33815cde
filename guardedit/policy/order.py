"""Finds problems in the list of rules: repeated ids, no default rule, rules that can never fire.

Works on plain data, valid or not, so that these problems are reported together with all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple


class OrderProblem(NamedTuple):
    """A problem of `rules[rule]`, at its key `key`; "" for the rule as a whole."""

    rule: int
    key: str
    message: str


def order_problems(rules: Sequence[object]) -> list[OrderProblem]:
    """The problems of a list of rules as plain mappings. Entries that are not mappings are ignored."""
    known = [(i, rule) for i, rule in enumerate(rules) if isinstance(rule, Mapping)]
    problems = [*_repeated_ids(known), *_unreachable(known)]
    if known and known[-1][0] == len(rules) - 1 and not _is_default(known[-1][1]):
        index, last = known[-1]
        problems.append(
            OrderProblem(
                index,
                "",
                f"the last rule {_name(index, last)} has a condition, so for some corrections no rule fires: "
                "add a last rule with neither `match` nor `when`",
            )
        )
    return problems


def _repeated_ids(known: Sequence[tuple[int, Mapping[str, object]]]) -> list[OrderProblem]:
    first: dict[object, int] = {}
    problems = []
    for index, rule in known:
        name = rule.get("id")
        if not isinstance(name, str):
            continue
        if name in first:
            problems.append(
                OrderProblem(index, "id", f"'{name}' is already the id of rules[{first[name]}]: rename one")
            )
        first.setdefault(name, index)
    return problems


def _unreachable(known: Sequence[tuple[int, Mapping[str, object]]]) -> list[OrderProblem]:
    problems = []
    for n, (index, rule) in enumerate(known):
        for earlier_index, earlier in known[:n]:
            if _covers(earlier, rule):
                problems.append(
                    OrderProblem(
                        index,
                        "",
                        f"unreachable: {_name(earlier_index, earlier)} above it fires on everything that "
                        "this rule would; move it up or remove it",
                    )
                )
                break
    return problems


def _covers(earlier: Mapping[str, object], later: Mapping[str, object]) -> bool:
    """Whether `earlier` certainly fires whenever `later` does; False when that cannot be proved."""
    if earlier.get("when") is not None and earlier.get("when") != later.get("when"):
        return False
    wide, narrow = earlier.get("match"), later.get("match")
    if wide is None:
        return True
    if not isinstance(wide, Mapping) or not isinstance(narrow, Mapping) or not wide:
        return False
    return all(_globs_cover(globs, narrow.get(key)) for key, globs in wide.items())


def _globs_cover(wide: object, narrow: object) -> bool:
    wide_globs, narrow_globs = _texts(wide), _texts(narrow)
    return bool(narrow_globs) and all(any(_glob_covers(w, n) for w in wide_globs) for n in narrow_globs)


def _glob_covers(wide: str, narrow: str) -> bool:
    # If the wide glob has no wildcard but `*` and the narrow one no bracket, and the wide glob matches the
    # narrow one as a text, then it matches everything that the narrow one matches. Other pairs are only
    # decided when they are equal.
    if wide == narrow or not wide.strip("*"):
        return True
    return not set("?[") & set(wide) and "[" not in narrow and fnmatchcase(narrow, wide)


def _texts(value: object) -> list[str]:
    items = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
    return [item for item in items if isinstance(item, str)]


def _is_default(rule: Mapping[str, object]) -> bool:
    return rule.get("match") is None and rule.get("when") is None


def _name(index: int, rule: Mapping[str, object]) -> str:
    return f"'{rule['id']}'" if isinstance(rule.get("id"), str) else f"rules[{index}]"
