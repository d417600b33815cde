"""Translates pydantic's validation errors into messages for operators, with line, column and a suggestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from guardedit.policy.order import order_problems
from guardedit.policy.read import KeyPath, ParsedYaml, Place, Problem
from guardedit.policy.schema import Policy

#: Error types that `rule_problems` reports with more exact lines and columns.
_REPORTED_ELSEWHERE = frozenset({"rule_order"})
#: Error types of the schema itself, with messages that need no translation.
_OWN_MESSAGES = frozenset(
    {
        "address",
        "approvals_without_hold",
        "as_in_message",
        "built_in_rule",
        "condition",
        "drift_budget",
        "empty_match",
        "key_times",
        "method_without_weights",
        "public_key",
        "publish_twice",
        "repeated_key",
        "sample_too_small",
        "same_source",
        "too_few_approvers",
        "threshold_order",
        "unresolvable",
    }
)


def schema_problems(error: ValidationError, parsed: ParsedYaml) -> list[Problem]:
    """One problem for each validation error that parsing has not already reported at the same key."""
    explained = [problem.path for problem in parsed.problems if problem.path]
    problems = []
    for detail in error.errors(include_url=False):
        path = _as_written(detail["loc"])
        if detail["type"] in _REPORTED_ELSEWHERE or any(path[: len(e)] == e for e in explained):
            continue
        if detail["type"] == "too_short" and detail["input"]:
            continue  # there are entries, but all are invalid, and each has a problem of its own
        places = parsed.keys if detail["type"] == "extra_forbidden" else parsed.values
        problems.append(Problem(_nearest(path, places, parsed), path, _message(detail)))
    return problems


def rule_problems(data: Mapping[str, Any], parsed: ParsedYaml) -> list[Problem]:
    """The problems of the rules as a list (`order_problems`), with their places."""
    rules = data.get("rules")
    found = order_problems(rules) if isinstance(rules, list) else []
    problems = []
    for index, key, message in found:
        path: KeyPath = ("rules", index, key) if key else ("rules", index)
        problems.append(Problem(_nearest(path, parsed.values, parsed), path, message))
    return problems


def key_text(path: KeyPath) -> str:
    """A path for messages: `rules[2].match.source`, or `policy` for the whole policy."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "policy"


def suggestion(word: object, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` with the closest known word; "" if none is close."""
    # Ignore case: wrong case is the commonest mistake, and difflib would count every letter of it.
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(str(word).lower(), lowered, n=1)
    return f"; did you mean '{lowered[close[0]]}'?" if close else ""


def _as_written(path: KeyPath) -> KeyPath:
    """The path as it is in the file: pydantic adds the kind of a destination after its number."""
    return (*path[:2], *path[3:]) if path[:1] == ("publish",) and len(path) > 2 else path


def _nearest(path: KeyPath, places: Mapping[KeyPath, Place], parsed: ParsedYaml) -> Place:
    """The place of a path, or of its innermost part that is in the file."""
    if path in places:
        return places[path]
    for length in range(len(path), -1, -1):
        if place := parsed.values.get(path[:length]):
            return place
    return Place(1, 1)


def _message(detail: ErrorDetails) -> str:
    path: KeyPath = detail["loc"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"required but not given: {_description(path)}"
        case "extra_forbidden":
            known = sorted(_known_keys(path[:-1]))
            return "unknown key" + (suggestion(path[-1], known) or f"; known: {', '.join(known)}")
        case "literal_error":
            options = _options(_annotation(path))
            hint = suggestion(detail["input"], options)
            return f"must be {context['expected']}, got {detail['input']!r:.60}{hint}"
        case "too_short":
            return "empty: give at least one entry, or leave the key out"
        case kind if kind in _OWN_MESSAGES:
            return detail["msg"]
    text = detail["msg"].removeprefix("Input ").removeprefix("Value ")
    if detail["type"].startswith("union_tag_"):
        text = f"needs a kind, one of {_kinds(path)}"
    return f"{text[0].lower()}{text[1:]}, got {detail['input']!r:.60}"


def _description(path: KeyPath) -> str:
    model = _model_at(path[:-1])
    for name, info in (model.model_fields if model else {}).items():
        if path[-1] in (name, info.alias):
            return info.description or ""
    return "see the documentation"


def _known_keys(path: KeyPath) -> list[str]:
    model = _model_at(path)
    return [info.alias or name for name, info in model.model_fields.items()] if model else []


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    return next((t for t in _parts(_annotation(path)) if _is_model(t)), None)


def _annotation(path: KeyPath) -> Any:
    """The declared type at a path of the policy; None where there is no such path."""
    annotation: Any = Policy
    for part in path:
        if isinstance(part, int):
            annotation = _item(annotation)
            continue
        models = [t for t in _parts(annotation) if _is_model(t)]
        if len(models) > 1:  # then the part is the kind of one of them
            annotation = next((one for one in models if part == _kind_of(one)), None)
            continue
        fields = models[0].model_fields if models else {}
        info = next((i for name, i in fields.items() if part in (name, i.alias)), None)
        if info is None:
            return None
        annotation = info.annotation
    return annotation


def _kinds(path: KeyPath) -> str:
    return ", ".join(sorted(_kind_of(one) for one in _parts(_annotation(path)) if _is_model(one)))


def _kind_of(model: type[BaseModel]) -> str:
    return str(get_args(model.model_fields["kind"].annotation)[0])


def _item(annotation: Any) -> Any:
    return next((get_args(t)[0] for t in _parts(annotation) if get_origin(t) is tuple), None)


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, or the type itself; without Annotated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _parts(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [part for member in get_args(annotation) for part in _parts(member)]
    return [annotation]


def _options(annotation: Any) -> list[str]:
    return [str(option) for part in _parts(annotation) for option in get_args(part)]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
