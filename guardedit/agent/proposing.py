"""From facts that shall be in the weights to the weight edits that put them there.

The edits are a pure function of base model, settings and facts: one edit a subject, found in the ledger by
its content key or optimised once and kept there. So undo and redo meet the same bytes again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from guardedit.agent.parts import Parts
from guardedit.core.errors import EditError
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event, SubjectGroup


@dataclass(frozen=True, slots=True)
class Proposed:
    """Edits by subject, and the reason for each fact that could not be edited."""

    edits: dict[str, WeightEdit] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def group_by_subject(parts: Parts, facts: Iterable[Fact]) -> list[SubjectGroup]:
    """One group a subject and scope-free: all tenants share the weights. Sorted, so order never matters."""
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
    """The edit of each group, from the ledger where it was made before, unless it shall be made `anew`."""
    found: dict[str, WeightEdit] = {}
    missing: dict[str, list[SubjectGroup]] = defaultdict(list)
    for group in groups:
        edit = None if anew else parts.journal.recall_edit(content_key(parts, group))
        if edit is None:
            missing[group.facts[0].method].append(group)
        else:
            found[group.subject] = edit
    refused: dict[str, str] = {}
    for method, wanted in missing.items():
        try:
            proposal = parts.workbench.propose(method, wanted, live)
        except EditError as error:
            # As with a method that no worker offers: asking again would hold up everyone behind.
            refused |= {fact.id: str(error) for group in wanted for fact in group.facts}
            continue
        refused |= proposal.refused
        by_subject = {group.subject: group for group in wanted}
        for edit in proposal.edits:
            group = by_subject[edit.subject]
            found[edit.subject] = edit
            # A group of which a fact was refused is another group next time: nothing to remember.
            if set(edit.facts) == {fact.id for fact in group.facts}:
                parts.journal.remember_edit(content_key(parts, group), edit)
        parts.observe(
            Event(
                kind="proposed", fields={"method": method, "edits": len(wanted), "seconds": proposal.seconds}
            )
        )
    return Proposed(found, refused)


def content_key(parts: Parts, group: SubjectGroup) -> str:
    """Name of a group's edit: everything the optimisation depends on."""
    body = [
        parts.workbench.base_sha256,
        parts.settings_sha256,
        group.subject,
        [[fact.id, fact.method] for fact in group.facts],
        [[question.prompt, question.expected] for question in group.keep],
    ]
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def stale(edits: Sequence[WeightEdit], placed: Iterable[Fact]) -> tuple[str, ...]:
    """Subjects whose edit says something else than the facts now placed in the weights."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for fact in placed:
        wanted[fact.key.subject].add(fact.id)
    return tuple(sorted(e.subject for e in edits if set(e.facts) != wanted.get(e.subject, set())))
