"""Lists the events that the loop sends to its observers: every kind, its fields, and what it means.

The loop does not import this file. Tests check that each kind is emitted somewhere in the package, and that
the events of a running loop have no `problems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardedit.core.protocols import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """The fields and the meaning of one kind of event.

    `required` and `optional` map a field to its meaning. A kind with a `stage` may have the fields `seconds`,
    the duration of the stage, and `method`; both go into the duration histogram.
    """

    meaning: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    stage: str = ""


_TIMED = {"seconds": "float, duration of the step", "method": "str, editing method"}


def _step(stage: str, meaning: str, optional: Mapping[str, str] | None = None, **required: str) -> EventSpec:
    return EventSpec(meaning=meaning, required=required, optional={**_TIMED, **(optional or {})}, stage=stage)


def _fact(meaning: str, optional: Mapping[str, str] | None = None, **required: str) -> EventSpec:
    return EventSpec(meaning=meaning, required=required, optional=optional or {})


#: Every kind of event. Events about one correction also have `Event.correction_id`.
KINDS: Mapping[str, EventSpec] = {
    # The steps of a correction, in order.
    "received": _step(
        "receive", "raw messages are in the inbox", source="str", new="int, messages that are no redelivery"
    ),
    "decided": _step(
        "decide",
        "the policy decided about one correction",
        {"reason": "str"},
        source="str",
        route="str, a Route",
        rule="str, the rule that matched",
    ),
    "remembered": _step(
        "remember",
        "the ledger changed live facts",
        facts="int, facts changed or expired",
        epoch="int, the new epoch",
    ),
    "proposed": _step(
        "propose",
        "an editing method made edits for a batch of subjects",
        method="str",
        edits="int, subjects of the batch",
    ),
    "inspected": _step(
        "inspect", "the guard inspected proposed edits without a forward pass", edits="int", failed="int"
    ),
    "judged": _step(
        "judge",
        "the guard judged a candidate epoch",
        {"facts": "int, facts on trial"},
        verdict="core.verdict.Verdict",
    ),
    "settled": _step(
        "settle",
        "the ledger committed a batch of facts to the weights",
        {"facts": "int"},
        epoch="int, the new serving epoch",
        change="str, an Epoch.kind",
    ),
    "published": _step(
        "publish", "a replica answers from the epoch", replica="str, bounded name", epoch="int"
    ),
    # Exceptions.
    "dead_lettered": _fact(
        "a message became a dead letter", source="str", reason="str, CorrectionError.reason", detail="str"
    ),
    "rolled_back": _step(
        "roll_back",
        "the serving epoch was rolled back",
        trigger="str, one of metrics.TRIGGERS",
        from_epoch="int",
        to_epoch="int, the epoch whose weights are served again",
    ),
    # Observations of the whole.
    "watched": _step(
        "watch",
        "the drift watch measured the serving epoch",
        epoch="int",
        probe_set="str, bounded name",
        perplexity_ratio="float, serving over base",
        limit="float, ratio that causes a rollback",
    ),
    "breach": _fact("drift is beyond its limit", detector="str", value="float", limit="float", epoch="int"),
    "capacity": _fact("how full the edited layer is", layer="int", ratio="float, live keys over free rank"),
    "lag": _fact(
        "how far behind a broker is", source="str", waiting="float, may be NaN", oldest_s="float, may be NaN"
    ),
    "memory_lookup": _fact(
        "questions were looked up in the memory", {"count": "int, default 1"}, scope="str, a Recall.scope"
    ),
    "tampered": _fact(
        "a served tensor was changed in memory and has been restored",
        replica="str, bounded name",
        problem="str",
    ),
    "stage": _fact(
        "the consolidating cycle began a stage of its turn; without a name it ended the turn",
        {"subjects": "int, subjects of the stage"},
        name="str, proposing, trying, committing or watching, or empty",
    ),
    "progress": _fact("a stage has lasted for a while", name="str, the stage", elapsed="int, seconds"),
    "state": _fact("the state of the agent changed", state="str, one of metrics.STATES"),
    "error": _fact(
        "something failed and the agent continues",
        stage="str, a stage of this table or `loop`",
        error="str, name of the exception's type",
        message="str",
    ),
}


def problems(event: Event) -> list[str]:
    """How an event differs from `KINDS`, as sentences; empty if it does not.

    >>> problems(Event(kind="state", fields={"state": "running"}))
    []
    >>> problems(Event(kind="state", fields={"mood": "grim"}))
    ['state lacks state', 'state has no field mood']
    """
    kind = KINDS.get(event.kind)
    if kind is None:
        return [f"no such kind {event.kind!r}"]
    missing = [f"{event.kind} lacks {name}" for name in kind.required if name not in event.fields]
    known = {*kind.required, *kind.optional}
    return missing + [f"{event.kind} has no field {name}" for name in event.fields if name not in known]
