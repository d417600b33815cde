"""Gets the weight edits for facts: from the ledger if they were made before, else from the editing method.

An edit is optimised once and stored in the ledger under the hash of everything it depends on: base model,
settings, facts, the answers to keep, and the other edits of its proposal, because a method may make the edits
of one proposal for each other. The edits of a proposal are stored all together or not at all, so the weights
do not depend on where a crash happened. A group of facts that was in the weights before gets the edit that it
had then, whichever other edits that was made with. So undo and redo give the same bytes again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.agent.parts import Parts
from guardedit.core.errors import GuardeditError, GuardError, LedgerError
from guardedit.core.fact import Fact
from guardedit.core.probe import Question
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Event, SubjectGroup


@dataclass(frozen=True, slots=True)
class Proposed:
    """Edits by subject, and by fact id the reason why a fact could not be edited."""

    edits: dict[str, WeightEdit] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def group_by_subject(
    facts: Iterable[Fact], known_questions: Callable[[str], Sequence[Question]]
) -> list[SubjectGroup]:
    """One group for each subject, over all tenants, since they share the weights. Sorted by subject.

    `known_questions` gives what the base model knows of a subject. The answers to other relations are kept.
    """
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.key.subject].append(fact)
    return [
        SubjectGroup(
            subject=subject,
            facts=tuple(sorted(members, key=lambda fact: fact.id)),
            keep=tuple(
                question
                for question in known_questions(subject)
                if question.relation not in {fact.key.relation for fact in members}
            ),
        )
        for subject, members in sorted(groups.items())
    ]


def edits_for(
    parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], *, remake: bool = False
) -> Proposed:
    """The edit of each group: the one that was served before, else a proposal made on top of `live`.

    `remake` ignores edits that were served before.
    """
    found: dict[str, WeightEdit] = {}
    missing: dict[str, list[SubjectGroup]] = defaultdict(list)
    for group in groups:
        edit = None if remake else parts.ledger.served_edit(group_key(parts, group))
        if edit is None:
            missing[group.facts[0].method].append(group)
        else:
            found[group.subject] = edit
    refused: dict[str, str] = {}
    for method, wanted in missing.items():
        made = _stored(parts, wanted, live) or _proposed(parts, method, wanted, live)
        found |= made.edits
        refused |= made.refused
    return Proposed(found, refused)


def group_key(parts: Parts, group: SubjectGroup) -> str:
    """The name of a group's edit: hash of base model, settings, facts and answers to keep."""
    body = [
        parts.worker.base_sha256,
        parts.settings_sha256,
        group.subject,
        [[fact.id, fact.method] for fact in group.facts],
        [[question.prompt, question.expected] for question in group.keep],
    ]
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def content_keys(
    parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]
) -> dict[str, tuple[str, str]]:
    """By subject (content key, group key). The content key also covers the other edits it is made with."""
    names = {group.subject: group_key(parts, group) for group in groups}
    beside = [sorted(names.values()), sorted(edit.digest for edit in live), parts.limits.workers]
    return {
        subject: (hashlib.sha256(json.dumps([name, beside]).encode()).hexdigest(), name)
        for subject, name in names.items()
    }


def stale(edits: Sequence[WeightEdit], placed: Iterable[Fact]) -> tuple[str, ...]:
    """Subjects whose edit has other facts than those that are now placed in the weights."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for fact in placed:
        wanted[fact.key.subject].add(fact.id)
    return tuple(sorted(e.subject for e in edits if set(e.facts) != wanted.get(e.subject, set())))


def _stored(parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposed | None:
    """The whole proposal as it was made before; None if one of its edits is missing."""
    edits: dict[str, WeightEdit] = {}
    for subject, (name, _) in content_keys(parts, groups, live).items():
        edit = parts.ledger.recall_edit(name)
        if edit is None:
            return None
        edits[subject] = edit
    return Proposed(edits, {})


def _proposed(
    parts: Parts, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]
) -> Proposed:
    """A proposal for all groups; if the method fails, one for each, so that one cannot block the rest."""
    parts.observe(Event(kind="stage", fields={"name": "proposing", "subjects": len(groups)}))
    try:
        proposal = parts.worker.propose(method, groups, live)
    except (GuardError, LedgerError):
        raise  # the facts are not the reason
    except Exception as error:  # noqa: BLE001 - no fact may stop the loop, whatever error a method raises
        if len(groups) == 1:
            known = isinstance(error, GuardeditError)
            return _refused(groups, str(error) if known else f"{method}: {type(error).__name__}: {error}")
        return _merged(_proposed(parts, method, [group], live) for group in groups)
    edits = {edit.subject: edit for edit in proposal.edits}
    _report(parts, method, groups, proposal)
    _store(parts, groups, live, edits)
    return Proposed(edits, dict(proposal.refused))


def _store(
    parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], edits: Mapping[str, WeightEdit]
) -> None:
    """Store all edits of a proposal in one transaction.

    If the editor refused a fact of a group, its edit is not stored: next time the group has other facts.
    """
    wanted = {group.subject: {fact.id for fact in group.facts} for group in groups}
    names = content_keys(parts, groups, live)
    parts.ledger.remember_edits(
        [(*names[s], edit) for s, edit in sorted(edits.items()) if set(edit.facts) == wanted[s]]
    )


def _refused(groups: Sequence[SubjectGroup], why: str) -> Proposed:
    return Proposed({}, {fact.id: why for group in groups for fact in group.facts})


def _merged(proposals: Iterable[Proposed]) -> Proposed:
    whole = Proposed()
    for proposal in proposals:
        whole.edits.update(proposal.edits)
        whole.refused.update(proposal.refused)
    return whole


def _report(parts: Parts, method: str, groups: Sequence[SubjectGroup], proposal: Proposal) -> None:
    """Note which facts were proposed, for the story of a correction, and report the step."""
    facts = sorted(fact.id for group in groups for fact in group.facts)
    refused, seconds = dict(proposal.refused), proposal.seconds
    note = {"method": method, "facts": facts, "refused": refused, "seconds": seconds}
    parts.ledger.note("proposed", note)
    fields = {"method": method, "edits": len(groups), "seconds": proposal.seconds}
    parts.observe(Event(kind="proposed", fields=fields))
