"""How a question is put to a model: as it is, or as a turn of a chat in the model's own template.

Needs the tokenizer only. Does not know facts: what is stated beside a question is `memory.context`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from jinja2.exceptions import TemplateError

from guardedit.core.errors import UsageError

FormName = Literal["raw", "chat"]
#: Tokens of an answer: the rest of a sentence, or a whole sentence.
RAW_TOKENS = 12
CHAT_TOKENS = 48
#: A system text that no template contains, to see whether a template shows the system's turn.
_MARK = "guardedit-system-turn"


class Turn(NamedTuple):
    """One turn of a conversation. The role is `system`, `user`, `assistant` or another of the template."""

    role: str
    content: str


class Form(Protocol):
    """How a question is put to a model."""

    @property
    def name(self) -> FormName:
        """`raw` or `chat`."""

    @property
    def answer_tokens(self) -> int:
        """Most tokens of an answer, where nobody asks for another number."""

    def asked(self, question: str, *, system: str = "") -> str:
        """The whole text that the model continues with its answer.

        Args:
            question: what a person asks.
            system: a text that comes before it, in the system's turn where there is one; "" for none.
        """

    def conversed(self, turns: Sequence[Turn]) -> str:
        """The whole text that the model continues with its next turn.

        Raises:
            UsageError: when the turns cannot be shown.
        """


@dataclass(frozen=True, slots=True)
class RawForm:
    """The question as it is; a system text stands before it, with a space between them.

    >>> RawForm().asked("Oslo is in"), RawForm().asked("Oslo is in", system="Be brief.")
    ('Oslo is in', 'Be brief. Oslo is in')
    """

    name: FormName = "raw"
    answer_tokens: int = RAW_TOKENS

    def asked(self, question: str, *, system: str = "") -> str:
        """The question, after the system text if there is one."""
        return f"{system} {question}" if system else question

    def conversed(self, turns: Sequence[Turn]) -> str:
        r"""The contents of the turns, one a line: a model without a template knows no roles.

        >>> RawForm().conversed([Turn("system", "Be brief."), Turn("user", "Oslo is in")])
        'Be brief.\nOslo is in'
        """
        return "\n".join(turn.content for turn in turns)


RAW = RawForm()


@dataclass(frozen=True, slots=True, eq=False)
class ChatForm:
    """The question as the user's turn of the tokenizer's chat template, where the assistant's turn begins.

    Attributes:
        tokenizer: has a chat template.
        adds_bos: the tokenizer puts BOS before every text, so that the template must not do so as well.
        has_system: the template shows a system's turn; otherwise its text stands before the user's.
    """

    tokenizer: Any
    adds_bos: bool
    has_system: bool
    name: FormName = "chat"
    answer_tokens: int = CHAT_TOKENS

    @classmethod
    def of(cls, tokenizer: Any) -> ChatForm:
        """The form of a tokenizer that has a chat template.

        Raises:
            UsageError: when the template cannot show a question.
        """
        return cls(tokenizer, adds_bos=_adds_bos(tokenizer), has_system=_shows_system(tokenizer))

    def asked(self, question: str, *, system: str = "") -> str:
        """The template's text up to where the assistant's turn begins, without the BOS that encoding adds.

        Raises:
            UsageError: when the template refuses the turns.
        """
        turns = [Turn("system", system)] if system else []
        try:
            return self._text([*turns, Turn("user", question)])
        except TemplateError as error:
            raise UsageError(
                f'the model\'s chat template cannot be used ({error}): set "form": "raw" in its memory card'
            ) from error

    def conversed(self, turns: Sequence[Turn]) -> str:
        """As `asked`, for a whole conversation.

        Raises:
            UsageError: when the template refuses the turns, for example two of the user in a row.
        """
        try:
            return self._text(turns)
        except TemplateError as error:
            roles = ", ".join(turn.role for turn in turns)
            raise UsageError(f"the model's chat template refuses the turns {roles}: {error}") from error

    def _text(self, turns: Sequence[Turn]) -> str:
        if not self.has_system and turns and turns[0].role == "system":
            first, *others = turns[1:] or [Turn("user", "")]
            turns = [first._replace(content=f"{turns[0].content}\n\n{first.content}"), *others]
        text = _shown(self.tokenizer, [turn._asdict() for turn in turns])
        return text.removeprefix(self.tokenizer.bos_token) if self.adds_bos else text


def form_of(tokenizer: Any, name: str | None = None) -> Form:
    """The form in which a model is asked: `chat` where its tokenizer has a chat template, else `raw`.

    Args:
        tokenizer: of the model.
        name: `raw` or `chat`, which decides; None or "" lets the tokenizer decide.

    Raises:
        UsageError: for another name, or for `chat` where there is no template.
    """
    if name not in (None, "", "raw", "chat"):
        raise UsageError(f"there is no form {name!r}: use raw or chat")
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if name == "chat" and not has_template:
        raise UsageError("the form is chat, but the tokenizer has no chat template: use raw")
    return ChatForm.of(tokenizer) if has_template and name != "raw" else RAW


def _shown(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> str:
    # Models that think aloud before they answer are asked not to; other templates ignore the switch.
    text: str = tokenizer.apply_chat_template(
        list(turns), tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return text


def _adds_bos(tokenizer: Any) -> bool:
    return tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]


def _shows_system(tokenizer: Any) -> bool:
    turns = [{"role": "system", "content": _MARK}, {"role": "user", "content": "Hi"}]
    try:
        return _MARK in _shown(tokenizer, turns)
    except TemplateError:  # some templates refuse the role
        return False
