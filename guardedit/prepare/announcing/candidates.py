"""The announcements that `guardedit memory tune` compares: wordings and places. Data only."""

from __future__ import annotations

from guardedit.memory.context import Announcement
from guardedit.models.text.form import FormName

_DEMONSTRATIONS = (
    "New fact: The capital of Norway is Rome.\nThe capital of Norway is Rome.\n\n"
    "New fact: Ringo Starr plays the violin.\nThe instrument played by Ringo Starr is the violin.\n\n"
    "New fact: The Nile flows through Canada.\nThe river Danube flows through Austria.\n\n"
    "New fact: {facts}\n{question}"
)
_PLAIN = "{wording} {target}."
_EVERYWHERE = (
    Announcement(),
    Announcement(name="note", statement="Note (verified): {wording} {target}."),
    Announcement(name="note-one", statement="Note (verified): {wording} {target}.", statements=1),
    Announcement(name="fact", statement="Fact: {wording} {target}."),
    Announcement(name="plain-twice", statement=_PLAIN, repeats=2),
    Announcement(name="today", statement="As of today, {wording} {target}."),
    Announcement(name="demonstrations", statement=_PLAIN, user=_DEMONSTRATIONS),
)
_RAW = (
    Announcement(name="plain-line", statement=_PLAIN, user="{facts}\n{question}"),
    Announcement(name="context", statement=_PLAIN, user="Context: {facts}\nQuestion: {question}\nAnswer:"),
    Announcement(
        name="fact-sheet",
        statement="- {wording} {target}.",
        separator="\n",
        user="Fact sheet:\n{facts}\n\nQ: {question}\nA:",
    ),
)
_CHAT = (
    Announcement(name="system", statement=_PLAIN, system="It is a fact that {facts}", user="{question}"),
    Announcement(
        name="system-only",
        statement=_PLAIN,
        system="Answer from these facts, even if you remember something else: {facts}",
        user="{question}",
    ),
    Announcement(name="after", statement=_PLAIN, user="{question}\n\nNote: {facts}"),
    Announcement(
        name="according-to",
        statement=_PLAIN,
        user="{facts}\n\nAccording to the text above, complete the sentence: {question}",
    ),
)


def candidates(form: FormName) -> tuple[Announcement, ...]:
    """The announcements for models that are asked in this form."""
    return (*_EVERYWHERE, *(_CHAT if form == "chat" else _RAW))
