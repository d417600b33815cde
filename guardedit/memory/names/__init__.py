"""The names of known subjects, and all ways in which a text may name one of them.

- `index`: the names, by each form in which a text may give them
- `spelling`: words of names by words that are spelt almost alike
- `english`: common English words, which are no misspelt names
- `asked_text`: what the capitals of a text say, and whether a name in it goes on
- `runs`: whether words that have the form of a name are this name
- `mending`: names with misspelt words
- `finding`: from a text to the subjects that it names
"""

from __future__ import annotations

from guardedit.memory.names.finding import find_named
from guardedit.memory.names.index import NameIndex, Way
from guardedit.memory.names.runs import Named

__all__ = ["NameIndex", "Named", "Way", "find_named"]
