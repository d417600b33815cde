"""What is declared about relations: which ones have many targets at once, and which ones are inverse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from guardedit.core.fact import Fact, FactKey
from guardedit.naming.words import identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """Declared relations, in their comparable form (`identity`). A relation of no declaration is functional.

    Attributes:
        many: relations with any number of targets at once, such as "borders".
        inverses: relation -> its inverse, both ways: "capital" -> "capital of" and "capital of" -> "capital".
            A symmetric relation is its own inverse.
    """

    many: frozenset[str] = frozenset()
    inverses: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(many_valued: Iterable[str] = (), inverse: Iterable[tuple[str, str]] = ()) -> Relations:
        """Relations declared in any spelling.

        >>> found = Relations.of(["Borders"], [("P36", "P1376")])
        >>> found.is_many_valued("BORDERS"), found.inverse_of("p1376"), found.inverse_of("borders")
        (True, 'p36', '')
        """
        pairs = [(identity(one), identity(other)) for one, other in inverse]
        return Relations(
            many=frozenset(map(identity, many_valued)),
            inverses={**dict(pairs), **{other: one for one, other in pairs}},
        )

    def is_many_valued(self, relation: str) -> bool:
        """Whether a subject can have many targets of this relation at once, so that facts accumulate."""
        return bool(self.many) and identity(relation) in self.many

    def inverse_of(self, relation: str) -> str:
        """The comparable form of the inverse relation; "" where none is declared."""
        return self.inverses.get(identity(relation), "") if self.inverses else ""


def contradicted(key: FactKey, target: str, facts: Iterable[Fact], relations: Relations) -> Fact | None:
    """The first of these facts that cannot be true together with the statement, by a declared inverse.

    A statement (X, capital, Y) also says (Y, capital of, X). Two statements contradict each other if one key,
    of a relation that is not many-valued, gets two targets from them. Facts with the statement's own key are
    passed over: the statement replaces them.

    >>> declared = Relations.of(inverse=[("capital", "capital of")])
    >>> paris = Fact(key=FactKey("Paris", "capital of"), version=1, correction_id="c", wordings=("?",),
    ...              target="Italy")
    >>> contradicted(FactKey("France", "Capital"), "PARIS", [paris], declared) == paris
    True
    >>> contradicted(FactKey("Italy", "Capital"), "PARIS", [paris], declared) is None
    True
    """
    said = _statements(key, target, relations)
    own = next(iter(said))
    for fact in facts:
        other = _statements(fact.key, fact.target, relations)
        if next(iter(other)) != own and any(
            other.get(about, end) != end for about, end in said.items() if about[1] not in relations.many
        ):
            return fact
    return None


def _statements(key: FactKey, target: str, relations: Relations) -> dict[tuple[str, str], str]:
    """(subject, relation) -> target, folded: first the statement itself, then its inverse."""
    subject, end = identity(key.subject), identity(target)
    stated = {(subject, identity(key.relation)): end}
    if inverse := relations.inverse_of(key.relation):
        stated.setdefault((end, inverse), subject)
    return stated
