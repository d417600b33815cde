"""The JSON of answers: whole ones and streamed chunks, with logprobs, usage and what guardedit adds."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from guardedit.gateway.asking import Prepared
from guardedit.gateway.running import Answered
from guardedit.models.streaming.request import Piece, TokenLogprob
from guardedit.serving.served_state import placement_of

Kind = Literal["chat", "text"]
_OBJECTS: Mapping[tuple[Kind, bool], str] = {
    ("chat", False): "chat.completion",
    ("chat", True): "chat.completion.chunk",
    ("text", False): "text_completion",
    ("text", True): "text_completion",
}


def headers_of(prepared: Sequence[Prepared]) -> dict[str, str]:
    """The headers that name the epoch and the facts of an answer."""
    facts = dict.fromkeys(used.fact.id for one in prepared for used in one.used)
    return {"X-Guardedit-Epoch": str(prepared[0].epoch), "X-Guardedit-Facts": ", ".join(facts)}


def explained(prepared: Prepared) -> dict[str, Any]:
    """Where an answer comes from."""
    recall = prepared.recall
    return {
        "epoch": prepared.epoch,
        "placement": placement_of(prepared.used),
        "scope": recall.scope,
        "score": _rounded(recall.score),
        "reason": recall.reason,
        "asked": prepared.question,
        "facts": [
            {
                "id": one.fact.id,
                "subject": one.fact.key.subject,
                "relation": one.fact.key.relation,
                "target": one.fact.target,
                "correction": one.fact.correction_id,
                "placement": one.fact.placement.value,
                "scope": one.scope,
                "score": _rounded(one.score),
                "reason": one.reason,
                "asked": one.clause,
            }
            for one in prepared.used
        ],
    }


def _rounded(score: float) -> float | None:
    return None if math.isnan(score) else round(score, 4)


class Bodies:
    """Makes the bodies of the answer to one request.

    Args:
        kind: of the request.
        model: as the client named it.
        created: seconds since 1970.
        prepared: one for each prompt of the request.
        tokenizer: shows tokens in logprobs.
        explain: whether to add the object `guardedit`.
    """

    def __init__(
        self,
        kind: Kind,
        model: str,
        created: int,
        prepared: Sequence[Prepared],
        tokenizer: Any,
        *,
        explain: bool,
    ) -> None:
        self._kind, self._model, self._created = kind, model, created
        self._prepared, self._tokenizer, self._explain = prepared, tokenizer, explain
        self._id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{uuid.uuid4().hex}"

    def whole(self, answers: Sequence[Answered]) -> dict[str, Any]:
        """The body of an answer that was not streamed."""
        choices = []
        for index, answer in enumerate(answers):
            text: dict[str, Any] = (
                {"message": {"role": "assistant", "content": answer.text, "refusal": None}}
                if self._kind == "chat"
                else {"text": answer.text}
            )
            logprobs = self._logprobs(answer.pieces)
            choices.append({"index": index, **text, "finish_reason": answer.finish, "logprobs": logprobs})
        return self._body(choices, streamed=False, usage=self._usage(answers))

    def chunk(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        """One piece of a streamed answer."""
        content: dict[str, Any]
        if self._kind == "chat":
            role = {"role": "assistant"} if first else {}
            content = {"delta": {**role, "content": piece.text} if piece.text or first else {}}
        else:
            content = {"text": piece.text}
        choice = {
            "index": index,
            **content,
            "finish_reason": piece.finish,
            "logprobs": self._logprobs([piece]),
        }
        return self._body([choice], streamed=True)

    def last_chunk(self, answers: Sequence[Answered]) -> dict[str, Any]:
        """The chunk after the last piece, with the usage."""
        return self._body([], streamed=True, usage=self._usage(answers))

    def _body(
        self, choices: list[dict[str, Any]], *, streamed: bool, usage: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        epoch = self._prepared[0].epoch
        body: dict[str, Any] = {
            "id": self._id,
            "object": _OBJECTS[self._kind, streamed],
            "created": self._created,
            "model": self._model,
            "system_fingerprint": f"epoch-{epoch}",
            "choices": choices,
        }
        if usage is not None:
            body["usage"] = usage
        if self._explain and (not streamed or usage is not None or any(c["finish_reason"] for c in choices)):
            found = [explained(one) for one in self._prepared]
            body["guardedit"] = found[0] if len(found) == 1 else found
        return body

    def _usage(self, answers: Sequence[Answered]) -> dict[str, Any]:
        asked = sum(len(one.ids) for one in self._prepared)
        made = sum(answer.tokens for answer in answers)
        return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        reported = [(piece.logprob, piece.top) for piece in pieces if piece.logprob is not None]
        if not reported:
            return None
        if self._kind == "chat":
            content = [
                {**self._token(one), "top_logprobs": [self._token(other) for other in top]}
                for one, top in reported
            ]
            return {"content": content, "refusal": None}
        texts = [self._token(one)["token"] for one, _ in reported]
        ends = [sum(map(len, texts[:n])) for n in range(len(texts))]
        return {
            "tokens": texts,
            "token_logprobs": [one.logprob for one, _ in reported],
            "top_logprobs": [
                {self._token(other)["token"]: other.logprob for other in top} for _, top in reported
            ],
            "text_offset": ends,
        }

    def _token(self, one: TokenLogprob) -> dict[str, Any]:
        text = self._tokenizer.decode([one.token], clean_up_tokenization_spaces=False)
        return {"token": text, "logprob": one.logprob, "bytes": list(text.encode())}
