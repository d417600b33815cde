"""From facts that shall be in the weights to the weight edits that put them there.

An edit is optimised once and kept in the ledger under a name that says everything it depends on: base model,
settings, facts, the answers to keep, and the company it was made in, since a method may make the edits of
one proposal for each other. The edits of one proposal are kept together or not at all, so weights do not
depend on where a crash fell. A group that was in the weights before gets the edit that stood for it then,
whatever that was made beside: so undo and redo meet the same bytes again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.agent.parts import Parts
from guardedit.core.errors import GuardeditError, GuardError, LedgerError
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Event, SubjectGroup


@dataclass(frozen=True, slots=True)
class Proposed:
    """Edits by subject, and the reason for each fact that could not be edited."""

    edits: dict[str, WeightEdit] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def group_by_subject(parts: Parts, facts: Iterable[Fact]) -> list[SubjectGroup]:
    """One group a subject and for all tenants: they share the weights. Sorted, so order never matters."""
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.key.subject].append(fact)
    return [
        SubjectGroup(
            subject=subject,
            facts=tuple(sorted(members, key=lambda fact: fact.id)),
            keep=tuple(
                question
                for question in parts.known_questions(subject)
                if question.relation not in {fact.key.relation for fact in members}
            ),
        )
        for subject, members in sorted(groups.items())
    ]


def edits_for(
    parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], *, anew: bool = False
) -> Proposed:
    """The edit of each group: the one that served before, unless it shall be made `anew`, else a proposal."""
    found: dict[str, WeightEdit] = {}
    missing: dict[str, list[SubjectGroup]] = defaultdict(list)
    for group in groups:
        edit = None if anew else parts.ledger.served_edit(group_key(parts, group))
        if edit is None:
            missing[group.facts[0].method].append(group)
        else:
            found[group.subject] = edit
    refused: dict[str, str] = {}
    for method, wanted in missing.items():
        made = _remembered(parts, wanted, live) or _proposed(parts, method, wanted, live)
        found |= made.edits
        refused |= made.refused
    return Proposed(found, refused)


def group_key(parts: Parts, group: SubjectGroup) -> str:
    """Name of what an edit says: base model, settings, facts and answers to keep."""
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
    """By subject the names of its edit: what it is made from, company included, and what it says."""
    names = {group.subject: group_key(parts, group) for group in groups}
    company = [sorted(names.values()), sorted(edit.digest for edit in live), parts.limits.workers]
    return {
        subject: (hashlib.sha256(json.dumps([name, company]).encode()).hexdigest(), name)
        for subject, name in names.items()
    }


def stale(edits: Sequence[WeightEdit], placed: Iterable[Fact]) -> tuple[str, ...]:
    """Subjects whose edit says something else than the facts now placed in the weights."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for fact in placed:
        wanted[fact.key.subject].add(fact.id)
    return tuple(sorted(e.subject for e in edits if set(e.facts) != wanted.get(e.subject, set())))


def _remembered(parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposed | None:
    """The whole proposal as it was made before; None where an edit of it is missing."""
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
    """Ask the method for all; where that fails, for each group alone, so that one cannot hold up the rest."""
    try:
        proposal = parts.worker.propose(method, groups, live)
    except (GuardError, LedgerError):
        raise  # not the facts' fault
    except Exception as error:  # noqa: BLE001 - no fact may stop the loop, whatever it makes a method do
        if len(groups) == 1:
            known = isinstance(error, GuardeditError)
            return _refused(groups, str(error) if known else f"{method}: {type(error).__name__}: {error}")
        return _joined(_proposed(parts, method, [group], live) for group in groups)
    edits = {edit.subject: edit for edit in proposal.edits}
    _remember(parts, groups, live, edits)
    _tell(parts, method, groups, proposal)
    return Proposed(edits, dict(proposal.refused))


def _remember(
    parts: Parts, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], edits: Mapping[str, WeightEdit]
) -> None:
    """All edits of a proposal in one transaction.

    A group of which a fact was refused is another group next time: there is nothing to remember of it.
    """
    wanted = {group.subject: {fact.id for fact in group.facts} for group in groups}
    names = content_keys(parts, groups, live)
    parts.ledger.remember_edits(
        [(*names[s], edit) for s, edit in sorted(edits.items()) if set(edit.facts) == wanted[s]]
    )


def _refused(groups: Sequence[SubjectGroup], why: str) -> Proposed:
    return Proposed({}, {fact.id: why for group in groups for fact in group.facts})


def _joined(parts: Iterable[Proposed]) -> Proposed:
    whole = Proposed()
    for part in parts:
        whole.edits.update(part.edits)
        whole.refused.update(part.refused)
    return whole


def _tell(parts: Parts, method: str, groups: Sequence[SubjectGroup], proposal: Proposal) -> None:
    fields = {"method": method, "edits": len(groups), "seconds": proposal.seconds}
    parts.observe(Event(kind="proposed", fields=fields))
