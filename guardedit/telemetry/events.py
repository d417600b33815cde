"""The events the loop tells its observers: every kind, its fields, and what it means.

Knows neither metrics nor log lines. The loop does not import this file, it only says the words; a test of
the running loop passes what it said through `problems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardedit.core.protocols import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One kind of event.

    `required` and `optional` map a field to its meaning. A kind with a `stage` may carry `seconds`, the
    time that stage took, and `method`; both feed the duration histogram.
    """

    meaning: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    stage: str = ""


_TIMED = {"seconds": "float, time the step took", "method": "str, editing method"}


def _step(stage: str, meaning: str, optional: Mapping[str, str] | None = None, **required: str) -> EventKind:
    return EventKind(meaning=meaning, required=required, optional={**_TIMED, **(optional or {})}, stage=stage)


def _fact(meaning: str, optional: Mapping[str, str] | None = None, **required: str) -> EventKind:
    return EventKind(meaning=meaning, required=required, optional=optional or {})


#: kind -> what it says. Events about one correction also carry `Event.correction_id`.
KINDS: Mapping[str, EventKind] = {
    # The way of a correction, in order.
    "received": _step(
        "receive", "raw messages are in the inbox", source="str", new="int, messages not seen before"
    ),
    "decided": _step(
        "decide",
        "the policy spoke about one correction",
        {"reason": "str"},
        source="str",
        route="str, a Route",
        rule="str, the rule that matched",
    ),
    "remembered": _step(
        "remember", "the memory holds the changes of an epoch", facts="int", epoch="int, the new epoch"
    ),
    "proposed": _step(
        "propose",
        "an editing method answered for a batch of subjects",
        {"refused": "int, facts refused"},
        method="str",
        edits="int, weight edits proposed",
    ),
    "inspected": _step("inspect", "tier 0 looked at proposed edits", edits="int", failed="int"),
    "judged": _step(
        "judge",
        "the guard gave its verdict on a candidate epoch",
        {"facts": "int, facts on trial"},
        verdict="core.verdict.Verdict",
    ),
    "settled": _step(
        "settle",
        "the ledger committed: one correction (with fate), or a batch",
        {"fate": "str, a Fate", "reason": "str", "facts": "int"},
        epoch="int, serving from now on",
        change="str, an Epoch.kind, or `none`",
    ),
    "published": _step(
        "publish", "a replica answers from the epoch", replica="str, bounded name", epoch="int"
    ),
    # What goes another way.
    "dead_lettered": _fact(
        "a message will not be tried again", source="str", reason="str, CorrectionError.reason", detail="str"
    ),
    "demoted": _fact(
        "facts moved from weights back to memory", facts="sequence of fact ids", epoch="int", reason="str"
    ),
    "rolled_back": _step(
        "roll_back",
        "the serving epoch was taken back",
        {"reason": "str"},
        trigger="str, one of metrics.TRIGGERS",
        from_epoch="int",
        to_epoch="int, whose weights serve again",
    ),
    # Looks at the whole.
    "watched": _step(
        "watch",
        "the drift watch measured the serving epoch",
        epoch="int",
        probe_set="str, bounded name",
        perplexity_ratio="float, serving over base",
        limit="float, the ratio that means rollback",
    ),
    "breach": _fact("the drift watch says no", detector="str", value="float", limit="float", epoch="int"),
    "capacity": _fact("how full an edited layer is", layer="int", ratio="float, live keys over free rank"),
    "lag": _fact(
        "how far behind a broker is", source="str", waiting="float, may be NaN", oldest_s="float, may be NaN"
    ),
    "memory_lookup": _fact(
        "questions were put to the memory", {"count": "int, default 1"}, scope="str, a Recall.scope"
    ),
    "tampered": _fact(
        "a served tensor was not what it should be, and was mended",
        replica="str, bounded name",
        problem="str",
    ),
    "retired": _fact("a replica is gone for good", replica="str"),
    "state": _fact("the agent does something else now", state="str, one of metrics.STATES"),
    "error": _fact(
        "something failed and the agent went on",
        stage="str, a stage of this table or `loop`",
        error="str, the type's name",
        message="str",
    ),
}


def problems(event: Event) -> list[str]:
    """What is wrong with an event, as sentences; empty when it fits the table.

    >>> problems(Event(kind="state", fields={"state": "paused"}))
    []
    >>> problems(Event(kind="state", fields={"mood": "grim"}))
    ['state lacks state', 'state has no field mood']
    """
    kind = KINDS.get(event.kind)
    if kind is None:
        return [f"no such kind {event.kind!r}"]
    lacking = [f"{event.kind} lacks {name}" for name in kind.required if name not in event.fields]
    known = {*kind.required, *kind.optional}
    return lacking + [f"{event.kind} has no field {name}" for name in event.fields if name not in known]
