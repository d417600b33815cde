"""What a client may send to `/v1/chat/completions` and `/v1/completions`.

A field that would change the answer and is not implemented is refused, and so is an unknown one: an answer
that ignores what was asked is worse than none. Fields that only concern the client's account are accepted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from guardedit.models.streaming.request import Sampling
from guardedit.models.text.form import Turn

#: Most answers to one prompt, most prompts of one request, and most stop strings.
MOST_ANSWERS, MOST_PROMPTS, MOST_STOPS = 16, 64, 16
#: Most of the probable tokens that are reported for each token.
MOST_TOP = 20
#: Fields of OpenAI's API that say nothing about the answer.
_ACCOUNT = (
    "user", "metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention",
    "safety_identifier", "parallel_tool_calls", "reasoning_effort", "verbosity",
)  # fmt: skip
#: Fields that change the answer, with the value that asks for nothing.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
}


def _encodable(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"not valid Unicode at character {error.start}: remove it") from None
    return text


#: JSON can hold half a surrogate pair, which no tokenizer takes.
_Text = Annotated[str, AfterValidator(_encodable)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(_Strict):
    """Options of a streamed answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Extra(_Strict):
    """guardedit's own part of a request.

    Attributes:
        explain: add an object `guardedit` to the answer: epoch, facts, scope and score.
        tenant: whose facts are used, besides those of the tenant `default`.
    """

    explain: bool = False
    tenant: Annotated[str, Field(min_length=1, max_length=128)] = "default"


class ContentPart(BaseModel):
    """One part of a message; only text can be answered."""

    type: str
    text: _Text | None = None


class Message(BaseModel):
    """One message of a conversation. Other fields, such as `tool_calls`, are not shown to the model."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: _Text | list[ContentPart] | None = None
    name: str | None = None

    def turn(self) -> Turn:
        """The message as a turn; OpenAI's role `developer` is the system's."""
        return Turn("system" if self.role == "developer" else self.role, self._text())

    @model_validator(mode="after")
    def _only_text(self) -> Self:
        if isinstance(self.content, list):
            for part in self.content:
                if part.type != "text" or part.text is None:
                    raise ValueError(f"this model reads text only, not a part of type {part.type!r}")
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of role {self.role!r} needs content")
        return self

    def _text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text or "" for part in self.content)
        return self.content or ""


class _Common(_Strict):
    """The fields that both kinds of request share."""

    model: str = "serving"
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=MOST_ANSWERS)] | None = None
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    guardedit: Extra = Extra()

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        body = {name: value for name, value in body.items() if name not in _ACCOUNT}
        for name, neutral in _UNSUPPORTED.items():
            if name in body and name not in cls.model_fields:
                value = body.pop(name)
                if value not in neutral:
                    raise ValueError(f"{name!r} is not supported here: leave it out")
        if body.get("guardedit") is None:
            body.pop("guardedit", None)
        return body

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings; empty ones stop nothing."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    def sampling(self, *, seed: int, logprobs: int | None) -> Sampling:
        """How tokens are chosen; without a temperature, the most probable one."""
        return Sampling(
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=(seed if self.seed is None else self.seed) % 2**63,
            logprobs=logprobs,
        )


class ChatRequest(_Common):
    """The body of `/v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None

    @field_validator("messages")
    @classmethod
    def _has_question(cls, messages: list[Message]) -> list[Message]:
        if not any(message.role == "user" for message in messages):
            raise ValueError("a conversation needs a message of role 'user'")
        return messages

    @property
    def most_tokens(self) -> int | None:
        """Most tokens of the answer, by either name."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def reported(self) -> int | None:
        """Number of probable tokens to report with each token; None for no report."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(_Common):
    """The body of `/v1/completions`."""

    prompt: _Text | Annotated[list[_Text], Field(min_length=1, max_length=MOST_PROMPTS)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt
