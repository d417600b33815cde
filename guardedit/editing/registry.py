"""Editing methods by name. Each method's module is imported only when the method is used.

A name may have an option and filters: `alphaedit+nas`, `memit-seq+rect`, `rome+nas+1-li`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.core.protocols import MethodEditor
from guardedit.editing.filtered import FilteredEditor
from guardedit.editing.filters import find_filter
from guardedit.editing.setup import Setup

#: Separates a method from its option and filters.
SEPARATOR = "+"
#: The option that scales every value to the anchor norm (NAS).
ANCHORED = "nas"
#: Name in a policy -> `module:Class`.
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "alphaedit": "guardedit.editing.methods.alphaedit:AlphaEditEditor",
        "coachhook": "guardedit.editing.methods.coachhook:CoachHookEditor",
        "d4s": "guardedit.editing.methods.d4s:D4SEditor",
        "emmet": "guardedit.editing.methods.emmet:EmmetEditor",
        "encore": "guardedit.editing.methods.encore:EncoreEditor",
        "ft-l": "guardedit.editing.methods.ft_l:ClampedFineTuneEditor",
        "ft-m": "guardedit.editing.methods.ft_m:FineTuneEditor",
        "grace": "guardedit.editing.methods.grace:GraceEditor",
        "joint": "guardedit.editing.joint.editor:JointEditor",
        "ke": "guardedit.editing.hyper.ke:KeEditor",
        "lora": "guardedit.editing.methods.lora:LoraEditor",
        "memit": "guardedit.editing.methods.memit:MemitEditor",
        "memit-seq": "guardedit.editing.methods.memit_seq:MemitSeqEditor",
        "mend": "guardedit.editing.hyper.mend:MendEditor",
        "r-rome": "guardedit.editing.methods.r_rome:RRomeEditor",
        "ridge": "guardedit.editing.methods.ridge:RidgeEditor",
        "rome": "guardedit.editing.methods.rome:RomeEditor",
        "ultraedit": "guardedit.editing.methods.ultraedit:UltraEditor",
        "wise": "guardedit.editing.methods.wise:WiseEditor",
    }
)


class Registry:
    """Names of editing methods and the modules of their classes.

    >>> Registry({"ridge": "guardedit.editing.methods.ridge:RidgeEditor"}).names
    ('ridge',)
    """

    def __init__(self, methods: Mapping[str, str] = METHODS) -> None:
        self._places: dict[str, str] = {}
        for name, place in methods.items():
            self.register(name, place)

    @property
    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._places))

    def register(self, name: str, place: str) -> None:
        """Add a method; `place` is `module:Class`.

        Raises:
            UsageError: for a name that is taken, or a place that is not `module:Class`.
        """
        if name in self._places:
            raise UsageError(f"editing method {name!r} is already {self._places[name]}: choose another name")
        if place.count(":") != 1:
            raise UsageError(f"editing method {name!r} is at {place!r}: write its place as module:Class")
        self._places[name] = place

    def build(self, name: str, setup: Setup) -> MethodEditor:
        """A method with its option and filters, ready to propose.

        Raises:
            UsageError: for an unknown name, option or filter, or when the setup lacks what the method needs.
        """
        method, *extras = name.split(SEPARATOR)
        found = self.resolve(method)
        if ANCHORED in extras:
            setup = replace(setup, settings=replace(setup.settings, norm_anchored=True))
        editor: MethodEditor = found.build(setup)
        for part in extras:
            if part != ANCHORED:
                editor = FilteredEditor(editor, find_filter(part), setup)
        return editor

    def resolve(self, name: str) -> type[Any]:
        """Import the class of a method.

        Raises:
            UsageError: for an unknown name, or a place that cannot be imported.
        """
        if name not in self._places:
            near = difflib.get_close_matches(name, self._places, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.names)}"
            raise UsageError(f"unknown editing method {name!r}; {hint}")
        module, _, attribute = self._places[name].partition(":")
        try:
            found: type[Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"editing method {name!r} cannot be loaded from {module}: {error}") from error
        return found
