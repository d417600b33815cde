"""One request through memory and model: the fact it asks for, what the model reads, how the answer comes.

1. The memory judges the question of the request, see `conversation`.
2. Where it is unsure, the model judges whether the question asks for the fact.
3. The facts, if any, are stated beside the question, and the engine makes the answer on the weights of the
   same epoch.
4. An answer from a fact in memory must name the fact's target, else the fact is the answer (`constrained`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial

from guardedit.core.errors import MalformedCorrection, UsageError
from guardedit.core.fact import Placement
from guardedit.core.serving import Recall, ScopedFact
from guardedit.gateway.conversation import (
    AskedQuestion,
    prompt_with_facts,
    question_of,
    question_of_prompt,
    turns_with_facts,
)
from guardedit.models.streaming.engine import Engine
from guardedit.models.streaming.request import Deliver, Piece, Request, Sampling
from guardedit.models.text.form import RAW, Turn
from guardedit.models.text.plain import plain
from guardedit.models.text.tokens import begun, encode
from guardedit.serving.constrained import Constraint
from guardedit.serving.replica import ServingReplica
from guardedit.serving.served_state import RecalledFacts

#: Seconds that the engine may take before it lets the model judge a question.
_JUDGE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """What a caller wants.

    Attributes:
        prompt: a text to continue, or the turns of a conversation.
        tenant: whose facts are used, besides those of the tenant `default`.
        most_tokens: most tokens of the answer; None for `usual_tokens` of `Asker`.
        sampling: how tokens are chosen.
        stop: texts that end the answer.
        answers: number of answers to the same prompt.
        memory: whether facts of the epoch are looked for; else its weights answer alone.
    """

    prompt: str | Sequence[Turn]
    tenant: str = "default"
    most_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    answers: int = 1
    memory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request after the memory has judged it, ready for the engine.

    Attributes:
        epoch: the epoch that answers it.
        used: the facts behind the answer.
        recall: what the memory found.
        question: the text that the memory was asked with; "" where there is none.
        ids: tokens that the model reads.
        begins: tokens with which the answer begins.
        state: what the replica found; its state has the weights.
        most_tokens: most tokens of each answer.
        asked: the request.
    """

    epoch: int
    used: tuple[ScopedFact, ...]
    recall: Recall
    question: str
    ids: tuple[int, ...]
    begins: tuple[int, ...]
    state: RecalledFacts
    most_tokens: int
    asked: AnswerRequest


class Asker:
    """Answers requests from one replica. Thread-safe; `prepare` may take as long as the encoder needs.

    Args:
        replica: the epoch, its facts and its weights.
        engine: makes the answers, on the same model.
        tokenizer: of the model, for this object alone.
        context: longest input of the model in tokens.
        usual_tokens: most tokens of an answer where the caller names no number.
    """

    def __init__(
        self, replica: ServingReplica, engine: Engine, tokenizer: object, *, context: int, usual_tokens: int
    ) -> None:
        self.replica, self._engine = replica, engine
        self._tokenizer, self._context, self._usual = tokenizer, context, usual_tokens
        self._encoding = threading.Lock()  # tokenizers are not safe to share between threads
        self._constraint = Constraint(replica.prompts)

    def prepare(self, asked: Sequence[AnswerRequest]) -> list[Prepared]:
        """Ask the memory about all requests at once, and write what the model reads; all from one epoch.

        Raises:
            MalformedCorrection: a prompt is empty, or does not fit into the context.
            UsageError: the model's template refuses the turns, or no epoch is served yet.
        """
        questions = [_question(one) if one.memory else None for one in asked]
        tenants = {one.tenant for one in asked}
        if len(tenants) != 1:
            raise UsageError("requests of several tenants cannot be answered together")
        (tenant,) = tenants
        subjects_in = partial(self.replica.subjects, tenant=tenant)
        readings = [question.readings(subjects_in) if question else [""] for question in questions]
        texts = [text for each in readings for text in each]
        found = self.replica.recalled(texts, tenant=tenant)
        if found.is_unsure:
            judged = self._engine.between_steps(lambda: self.replica.asked_for(found))
            found = judged.result(timeout=_JUDGE_S)
        prepared, start = [], 0
        for one, question, each in zip(asked, questions, readings, strict=True):
            places = range(start, start + len(each))
            start += len(each)
            at = next((n for n in places if question and found.used[n]), places[0])
            prepared.append(
                self._prepared(one, found, at, texts[at] if question else None, resolved=at > places[0])
            )
        return prepared

    def _prepared(
        self,
        asked: AnswerRequest,
        found: RecalledFacts,
        at: int,
        question: str | None,
        *,
        resolved: bool,
    ) -> Prepared:
        used = () if question is None else found.used[at]
        text = self._text(asked.prompt, used, resolved=resolved)
        ids, most = self._most_tokens(asked, text)
        return Prepared(
            epoch=found.state.epoch.number,
            used=used,
            recall=found.recalls[at],
            question=question or "",
            ids=ids,
            begins=self._beginning(used, question or "", text),
            state=found,
            most_tokens=most,
            asked=asked,
        )

    def announced(self) -> AbstractContextManager[None]:
        """A context in which a request is prepared and started, see `Engine.announced`."""
        return self._engine.announced()

    def start(self, prepared: Sequence[Prepared], deliver: Sequence[Deliver]) -> list[Request]:
        """Hand the requests to the engine, all or none: one `deliver` for each of their answers.

        Raises:
            Busy: too many requests wait.
            UsageError: these are more answers than may ever wait.
        """
        told = iter(deliver)
        requests = []
        for one in prepared:
            weights = one.state.state.weights.folded
            for n in range(one.asked.answers):
                sampling = replace(one.asked.sampling, seed=(one.asked.sampling.seed + n) % 2**63)
                requests.append(
                    Request(
                        ids=one.ids,
                        patch=weights.patch,
                        weights=weights.sha256,
                        most_tokens=one.most_tokens,
                        sampling=sampling,
                        stop=one.asked.stop,
                        begins=one.begins,
                        deliver=self._obeying(one, next(told)),
                    )
                )
        self._engine.submit(requests)
        return requests

    def _text(self, prompt: str | Sequence[Turn], used: Sequence[ScopedFact], *, resolved: bool) -> str:
        """What the model reads. With `resolved` the question names the subject by a pronoun only."""
        prompts = self.replica.prompts
        facts = [one.fact for one in used]
        # Edited weights answer questions that name the subject.
        stated = [fact for fact in facts if resolved or fact.placement is Placement.MEMORY]
        if isinstance(prompt, str):
            if facts:
                prompt = prompt_with_facts(prompt, facts, stated, prompts.announcement)
            return RAW.asked(prompt)
        turns = turns_with_facts(prompt, facts, stated, prompts.announcement) if facts else prompt
        return prompts.form.conversed(turns)

    def _beginning(self, used: Sequence[ScopedFact], question: str, text: str) -> tuple[int, ...]:
        """Tokens with which the answer begins; none where the model begins it."""
        beginning = plain(self.replica.prompts.beginning(used, question))
        if not beginning:
            return ()
        with self._encoding:
            return tuple(begun(self._tokenizer, text, beginning))

    def _most_tokens(self, asked: AnswerRequest, text: str) -> tuple[tuple[int, ...], int]:
        """Tokens of the prompt, and most tokens of the answer, so that both fit into the context."""
        with self._encoding:
            ids = tuple(encode(self._tokenizer, text, context=self._context, answer=asked.most_tokens or 1))
        if not ids:
            raise MalformedCorrection("the prompt is empty: give it at least one word")
        return ids, asked.most_tokens or min(self._usual, self._context - len(ids))

    def _obeying(self, prepared: Prepared, deliver: Deliver) -> Deliver:
        if not isinstance(prepared.asked.prompt, str):
            deliver = _WithoutLeadingSpace(deliver)
        if not self._constraint.forces(prepared.used):
            return deliver
        return _Obeying(self._constraint, prepared, deliver)


def _question(asked: AnswerRequest) -> AskedQuestion | None:
    prompt = asked.prompt
    return question_of_prompt(prompt) if isinstance(prompt, str) else question_of(prompt)


class _WithoutLeadingSpace:
    """Drops white space before the first word: a turn of a conversation is a text of its own."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver, self._begun = deliver, False

    def __call__(self, piece: Piece | BaseException) -> None:
        if isinstance(piece, Piece) and not self._begun:
            piece = replace(piece, text=piece.text.lstrip())
            self._begun = bool(piece.text)
        self._deliver(piece)


class _Obeying:
    """Holds an answer back until it names the target of a fact in memory; facts that it leaves out are added.

    An answer that names none is replaced by the facts.
    """

    def __init__(self, constraint: Constraint, prepared: Prepared, deliver: Deliver) -> None:
        self._constraint, self._prepared, self._deliver = constraint, prepared, deliver
        self._held: list[Piece] = []
        self._text, self._holds = "", True

    def __call__(self, piece: Piece | BaseException) -> None:
        if isinstance(piece, BaseException):
            self._deliver(piece)
            return
        self._text += piece.text
        if piece.finish is not None:
            self._finish(piece)
        elif self._holds and not self._names_target():
            self._held.append(piece)
        else:
            self._release()
            self._deliver(piece)

    def _release(self) -> None:
        held, self._held, self._holds = self._held, [], False
        for one in held:
            self._deliver(one)

    def _finish(self, last: Piece) -> None:
        used, question = self._prepared.used, self._prepared.question
        answer = self._constraint.obeyed(used, question, self._text)
        if answer == self._text:
            self._release()
            self._deliver(last)
        elif self._holds and len(self._constraint.missing(used, self._text)) == len(used):
            self._deliver(Piece(token=None, text=answer, finish=last.finish))
        else:
            self._release()
            said = self._text.rstrip().rstrip(".")
            added = answer[len(said) :]  # begins with the full stop that the text may have already
            ended = "." in self._text[len(said) :]
            self._deliver(replace(last, text=last.text + (added.removeprefix(".") if ended else added)))

    def _names_target(self) -> bool:
        # The last word may go on: "Oslo" may become "Oslovia".
        complete = self._text.rstrip().rpartition(" ")[0]
        missing = self._constraint.missing(self._prepared.used, complete)
        return len(missing) < len(self._prepared.used)
