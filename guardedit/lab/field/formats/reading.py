"""Names the data sets that can be read, and says which one a file looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.formats import counterfact, mquake, qaedit, wikibigedit, zsre
from guardedit.lab.field.formats.rows import DataRow, read_rows


class DataFormat(NamedTuple):
    """How a data set is read.

    Attributes:
        read: the case of a row and its number.
        forms: sets of fields; a row with all fields of one of them looks like this data set.
    """

    read: Callable[[DataRow, int], FieldCase]
    forms: tuple[frozenset[str], ...]

    def fits(self, row: DataRow) -> bool:
        """Whether a row looks like this data set."""
        return any(form <= row.body.keys() for form in self.forms)


FORMATS: Mapping[str, DataFormat] = MappingProxyType(
    {
        "counterfact": DataFormat(counterfact.counterfact_case, (counterfact.ORIGINAL, counterfact.FLAT)),
        "zsre": DataFormat(zsre.zsre_case, (zsre.FIELDS,)),
        "wikibigedit": DataFormat(wikibigedit.wikibigedit_case, (wikibigedit.FIELDS,)),
        "qaedit": DataFormat(qaedit.qaedit_case, (qaedit.FIELDS,)),
        "mquake": DataFormat(mquake.mquake_case, (mquake.FIELDS,)),
    }
)


def read_cases(name: str, path: Path) -> list[FieldCase]:
    """The cases of a file, in its order.

    Args:
        name: of the data set, see `FORMATS`.
        path: a JSON list or JSON Lines.

    Raises:
        UsageError: an unknown data set, a file that looks like another one or is damaged, or two rows of one
            name; the message names file, row and field.
    """
    if name not in FORMATS:
        raise UsageError(f"there is no data set {name!r}: use one of {', '.join(FORMATS)}")
    rows = read_rows(path)
    if not FORMATS[name].fits(rows[0]):
        others = [other for other, form in FORMATS.items() if other != name and form.fits(rows[0])]
        if others:
            raise UsageError(
                f"{rows[0].place} looks like {' or '.join(others)}, not like {name}: name that one"
            )
    cases = [FORMATS[name].read(row, number) for number, row in enumerate(rows, start=1)]
    taken: dict[str, str] = {}
    for row, case in zip(rows, cases, strict=True):
        if other := taken.get(case.name):
            raise UsageError(
                f"{row.place} has the name {case.name!r} of {other}: give each row one of its own"
            )
        taken[case.name] = row.place
    return cases
