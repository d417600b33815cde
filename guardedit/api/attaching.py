"""`guardedit.attach`: a transformers model that is already loaded answers with the facts of a ledger.

Its `generate` states facts beside the questions that ask for them. The weights stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from guardedit.api.prompt_text import PromptText
from guardedit.assembly.model_files import model_folder
from guardedit.assembly.prompts import read_memory_card
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact
from guardedit.gateway.stating import beside, rules_of, statement_of
from guardedit.memory.context import Announcement, Prompts
from guardedit.memory.strategies import STRATEGIES, Strategy
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, policy_file


def attach(
    model: Any,
    tokenizer: Any,
    home: str | os.PathLike[str],
    *,
    policy: str | os.PathLike[str] | None = None,
    tenant: str = "default",
) -> Attached:
    """Let a loaded model answer with the live facts of a ledger, from the next call of `generate` on.

    Facts are stated as the memory card in the model's folder says, or else as the policy's `proxy` section
    does. Facts in the weights are stated too, since this model is not edited. A new epoch counts from the
    call after it.

    Args:
        model: a transformers model; its `generate` is wrapped until `detach`.
        tokenizer: of the model.
        home: folder of the ledger, which another process may write.
        policy: policy file, or the name of a shipped one; default: from GUARDEDIT_POLICY, else `default`.
        tenant: whose facts are used, besides those of the tenant `default`.

    Raises:
        UsageError: the model is attached already, or cannot generate; or the policy's strategy needs
            guardedit to run the model.
        PolicyError: the policy cannot be used.

    >>> with guardedit.attach(model, tokenizer, "runs/x") as attached:  # doctest: +SKIP
    ...     model.generate(**tokenizer("The headquarters of Stelco are in", return_tensors="pt"))
    """
    settings = replace(Settings.from_environment(os.environ), home=Path(home))
    if policy is not None:
        settings = replace(settings, policy=policy_file(os.fspath(policy)))
    return Attached(model, tokenizer, settings, tenant=tenant)


#: Options that belong to the prompt's own tokens: they are made anew, or left out.
_OF_THE_PROMPT = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
#: Options with which the prompt is not, or not all, in the tokens that are given.
_BESIDE_THE_PROMPT = frozenset({"inputs_embeds", "past_key_values"})


class Attached:
    """A model that answers with facts. Made by `guardedit.attach`; a context manager."""

    def __init__(self, model: Any, tokenizer: Any, settings: Settings, *, tenant: str) -> None:
        if not callable(getattr(model, "generate", None)):
            raise UsageError(f"{type(model).__name__} has no method generate: attach a model that has one")
        if getattr(model.config, "is_encoder_decoder", False):
            raise UsageError(f"{type(model).__name__} has an encoder: attach a causal language model")
        if "generate" in vars(model):
            raise UsageError("this model's generate is wrapped already: detach it first")
        from guardedit.gateway.facts import open_facts

        policy = load_policy(settings.policy)
        self._rules = rules_of(policy)
        with ExitStack() as opened:
            found = opened.enter_context(open_facts(settings, policy))
            self._replica, self._follower = found.replica, found.follower
            self._opened = opened.pop_all()
        self._model, self._tokenizer, self._tenant = model, tokenizer, tenant
        self._prompt_text = PromptText.of(tokenizer)
        self._announcement = _announcement_of(model, STRATEGIES[policy.memory.strategy])
        self._generate: Callable[..., Any] = model.generate
        self.used: tuple[tuple[Fact, ...], ...] = ()
        model.generate = self._with_facts

    @property
    def epoch(self) -> int:
        """The epoch whose facts are stated."""
        return self._replica.epoch() or 0

    @property
    def problem(self) -> str:
        """Why the facts may be older than the ledger's; "" if they are not."""
        return self._follower.problem

    def detach(self) -> None:
        """Give the model its own `generate` back. Safe to call twice."""
        if vars(self._model).get("generate") == self._with_facts:
            del self._model.generate
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def _with_facts(self, inputs: Tensor | None = None, *args: Any, **options: Any) -> Any:
        """The model's `generate`; rows whose question asks for a fact are read with it.

        The result has the rows as they were given, followed by what was generated.
        """
        ids = options.get("input_ids", inputs)
        beside = args or options.keys() & _BESIDE_THE_PROMPT
        if not isinstance(ids, Tensor) or ids.ndim != 2 or beside:
            self.used = ()
            return self._generate(inputs, *args, **options)
        rows = self._rows(ids, options.get("attention_mask"))
        self.used = self._facts(rows)
        if not any(self.used):
            return self._generate(inputs, *args, **options)
        read = [
            self._prompt_text.with_question(row, partial(self._stated, facts)) if facts else row
            for row, facts in zip(rows, self.used, strict=True)
        ]
        longer = max(map(len, read)) - ids.shape[1]
        options = {name: value for name, value in options.items() if name not in _OF_THE_PROMPT}
        for name in ("max_length", "min_length"):  # they count the prompt
            if isinstance(options.get(name), int):
                options[name] += longer
        options |= self._padded(read, ids.device)
        out = self._generate(**options)
        return _with_prompts(out, ids, len(options["input_ids"][0]), len(rows))

    def _stated(self, facts: Sequence[Fact], question: str) -> str:
        """The question with the facts beside it."""
        if self._announcement is not None:
            return self._announcement.asked(facts, question)
        stated = statement_of(facts, self._rules)
        if not self._prompt_text.after:
            return f"{stated}\n{question}"
        return beside(question, stated, before=self._rules.where != "after_question")

    def _rows(self, ids: Tensor, mask: Tensor | None) -> list[list[int]]:
        """The tokens of each row that are not padding."""
        if mask is None or mask.shape != ids.shape:
            return [list(row) for row in ids.tolist()]
        return [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]

    def _facts(self, rows: Sequence[Sequence[int]]) -> tuple[tuple[Fact, ...], ...]:
        """For each row, the facts that its question asks for."""
        questions = [self._prompt_text.question(row) for row in rows]
        subjects_in = partial(self._replica.subjects, tenant=self._tenant)
        readings = [question.readings(subjects_in) if question else [""] for question in questions]
        found = self._replica.recalled([text for each in readings for text in each], tenant=self._tenant)
        used = iter(found.used)
        by_row = [[next(used) for _ in each] for each in readings]
        return tuple(
            tuple(one.fact for one in next((some for some in each if some), ())) if question else ()
            for question, each in zip(questions, by_row, strict=True)
        )

    def _padded(self, rows: Sequence[Sequence[int]], device: torch.device) -> dict[str, Tensor]:
        """Rows padded on the left, and their mask, [B, T]."""
        T = max(map(len, rows))
        pad = next(
            (i for i in (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id) if i is not None), 0
        )
        ids = [[pad] * (T - len(row)) + list(row) for row in rows]
        mask = [[0] * (T - len(row)) + [1] * len(row) for row in rows]
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }


def _announcement_of(model: Any, strategy: Strategy) -> Announcement | None:
    """How facts are stated to this model: by the memory card in the folder that it was loaded from."""
    folder = Path(getattr(model.config, "_name_or_path", "") or "/nowhere")
    card = read_memory_card(folder)
    if not card and folder != model_folder(Settings()):  # the embedded model has no card
        return None
    announcement = Announcement.from_json(card.get("announcement", {}))
    return strategy.prompts(Prompts(announcement=announcement)).announcement


def _with_prompts(out: Any, ids: Tensor, read: int, rows: int) -> Any:
    """The result of `generate` with the prompts as they were given, in place of the `read` tokens."""
    sequences = out if isinstance(out, Tensor) else out.sequences
    prompts = ids.repeat_interleave(len(sequences) // rows, dim=0)
    found = torch.cat([prompts, sequences[:, read:]], dim=1)
    if isinstance(out, Tensor):
        return found
    out.sequences = found
    return out
