"""The names of known subjects, and all ways in which a text may name one of them.

index     the names, by each form in which a text may give them
spelling  words of names by words that are spelt almost alike
reading   what the capitals of a text say, and whether a name in it goes on
english   common English words, which are no misspelt names
finding   from a text to the subjects that it names
"""

from __future__ import annotations

from guardedit.memory.names.finding import find_named
from guardedit.memory.names.index import NameIndex, Way
from guardedit.memory.names.runs import Named

__all__ = ["NameIndex", "Named", "Way", "find_named"]
