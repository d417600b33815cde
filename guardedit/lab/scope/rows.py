"""Labelled rows of a scope benchmark: facts, a question, and which of the facts answers it.

Reads them from JSON Lines. The rows in the package are for testing only: see README.md beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from guardedit.agent.deciding import first_version
from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey
from guardedit.lab.field.formats.rows import DataRow, read_rows
from guardedit.naming import identity

#: Rows written by hand for this project.
WRITTEN = Path(__file__).with_name("written_rows.jsonl")


@dataclass(frozen=True, kw_only=True)
class ScopeRow:
    """One labelled question.

    Attributes:
        kind: what is special about the question.
        source: where the row comes from: `written`, a data set, or a file.
        facts: the facts that it is asked beside, in the order of their arrival.
        question: the question.
        wanted: index of the fact that answers it; None: none does.
    """

    kind: str
    source: str
    facts: tuple[Fact, ...]
    question: str
    wanted: int | None

    @cached_property
    def key(self) -> FactKey | None:
        """Key of the wanted fact; None where none is wanted."""
        return None if self.wanted is None else self.facts[self.wanted].key

    @cached_property
    def live(self) -> tuple[Fact, ...]:
        """The facts without those that a later one of the same key has superseded."""
        last = {_identity(fact): fact for fact in self.facts}
        return tuple(last.values())


def stated(subject: str, prompt: str, target: str, relation: str = "") -> Fact:
    """A fact as the system makes it of a correction.

    Args:
        subject: what it is about.
        prompt: with `{}` in place of the subject.
        target: the answer.
        relation: name of the relation; empty: the prompt is its name.
    """
    correction = Correction(
        id=f"{relation or prompt}/{subject}",
        subject=subject,
        prompt=prompt,
        target_new=target,
        relation=relation,
    )
    return first_version(correction)


def read_scope_rows(path: Path, source: str = "") -> list[ScopeRow]:
    """The rows of a JSON Lines file or a JSON list.

    Args:
        path: the file.
        source: named in the table; empty: the file's name.

    Raises:
        UsageError: the file cannot be read or a row is wrong; the message names the row and the field.
    """
    return [_row(row, source or path.name) for row in read_rows(path)]


def written_rows() -> list[ScopeRow]:
    """The rows that come with the package."""
    return read_scope_rows(WRITTEN, "written")


def _row(row: DataRow, source: str) -> ScopeRow:
    facts = tuple(_fact(one) for one in row.inner_rows("facts"))
    if not facts:
        raise UsageError(f"{row.place}: facts must have at least one fact: the memory is never asked empty")
    wanted = row.body.get("wanted")
    if "wanted" not in row.body or not (wanted is None or _is_index(wanted, facts)):
        raise UsageError(
            f"{row.place}: wanted must be the index of a fact from 0 to {len(facts) - 1}, or null, "
            f"got {row.body.get('wanted', 'nothing')!r:.80}"
        )
    found = ScopeRow(
        kind=row.text("kind"), source=source, facts=facts, question=row.text("question"), wanted=wanted
    )
    if wanted is not None and facts[wanted] not in found.live:
        raise UsageError(
            f"{row.place}: the wanted fact {wanted} has been superseded by a later one of the same subject "
            "and relation: want the later one"
        )
    return found


def _is_index(value: object, facts: Sequence[Fact]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(facts)


def _fact(row: DataRow) -> Fact:
    prompt = row.text("prompt")
    if prompt.count("{}") != 1:
        raise UsageError(f"{row.place}: prompt must have {{}} once for the subject, got {prompt!r:.80}")
    return stated(row.text("subject"), prompt, row.text("target"), row.optional_text("relation"))


def _identity(fact: Fact) -> tuple[str, str]:
    return identity(fact.key.subject), identity(fact.key.relation)


def facts_in(rows: Sequence[ScopeRow]) -> Iterator[Fact]:
    """The live facts of all rows; a fact of several rows comes several times."""
    for row in rows:
        yield from row.live
