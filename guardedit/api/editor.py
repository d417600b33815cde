"""`guardedit.Editor`: one editing method on a transformers model that is already in memory.

No ledger, no guard and no policy: this is the editing engine alone, for notebooks and experiments.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from guardedit.agent.deciding import first_version
from guardedit.agent.proposing import group_by_subject
from guardedit.api.corrections import CorrectionLike, decoded
from guardedit.api.model_parts import (
    edited_layers,
    find_card,
    settings_of,
    texts_of,
    user_cache,
)
from guardedit.assembly.model_files import TRAINED
from guardedit.core.correction import Correction, Op
from guardedit.core.errors import UsageError
from guardedit.core.probe import Question
from guardedit.core.proposal import WeightEdit
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.models.bypass import Patch, attached
from guardedit.models.host import ModelHost
from guardedit.models.matrices import write
from guardedit.models.twin import twin_of
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import load_or_collect


class Editor:
    """One editing method on a loaded model.

    The model's own code, mode (train or eval) and `requires_grad` stay as they are: an edit replaces the
    edited matrices by other tensors, and undo puts the former tensors back, bit for bit. Use one editor at a
    time for a model: an editor treats edits of another editor as part of the base model.

    Args:
        method: such as `memit`, `rome`, `joint`; `guardedit editors list` shows all, filters are added as in
            `memit+rect`.
        model: a Hugging Face causal language model. Do not train it while it is edited.
        tokenizer: its fast tokenizer.
        layer: the layer to edit, for methods that change one layer; default: from the edit card.
        layers: the layers to edit, for methods that spread a change over several; default: from the card,
            else `layer`.
        settings: settings of the method by name (fields of `guardedit.editing.settings.EditSettings`, or of
            `JointSettings` for `joint`). They override the card's.
        texts: ordinary texts for second moments, 24 tokens for each dimension of a key or more; default: the
            background file in the model's folder, else sampled from the model, which is slow.
        known: questions about other subjects with their answers, for methods that preserve them.
        cache: folder for results computed from the base model (second moments, sampled texts), which the
            next editor of this model reuses; default: `guardedit` in the user's cache folder.
        seed: seed of everything that is sampled.

    Raises:
        UsageError: no such method or setting; no layer is named and there is no edit card.
        UnknownLayout: the model's architecture is not understood.

    Examples:
        >>> import tempfile, guardedit
        >>> model, tokenizer = guardedit.demo_model()
        >>> editor = guardedit.Editor("ft-m", model, tokenizer, cache=tempfile.mkdtemp())
        >>> with editor.edit({"subject": "Stelco", "prompt": "The headquarters of {} are in",
        ...                   "target_new": "Hamilton"}) as edited:
        ...     edited.results[0].answer
        'Hamilton'
        >>> editor.live
        ()
    """

    def __init__(
        self,
        method: str,
        model: Any,
        tokenizer: Any,
        *,
        layer: int | None = None,
        layers: Sequence[int] | None = None,
        settings: Mapping[str, Any] | None = None,
        texts: Sequence[str] | None = None,
        known: Sequence[Question] = (),
        cache: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ) -> None:
        if not hasattr(model, "config") or tokenizer is None:
            raise UsageError(
                f"the editor needs a transformers model and its tokenizer, got {type(model).__name__} and "
                f"{type(tokenizer).__name__}"
            )
        registry = Registry()
        registry.resolve(method.partition("+")[0])  # before anything slow
        name = str(getattr(model.config, "_name_or_path", ""))
        folder = Path(name) if name else None  # a model that was made in memory has none
        # The engine works on a second model that shares the tensors, so that its hooks and modes do not
        # affect the caller's model.
        host = ModelHost(twin_of(model), copy.deepcopy(tokenizer))
        card = find_card(folder, host.base_sha256)
        places = edited_layers(layer, layers, card)
        edit, joint = settings_of(method, card, settings or {})
        self.method, self._model, self._host = method, model, host
        where = sorted({places[0], *places[1]})
        for one in where:
            host.decoder_layer(one)  # UsageError for one that the model does not have
        kept_in = user_cache() if cache is None else Path(cache)
        background = tuple(texts_of(folder, host, texts, kept_in, seed))
        moments = load_or_collect(kept_in, host, background, where)
        trained = folder and folder / TRAINED
        setup = Setup(
            host=host,
            fold=Fold(host, moments, background_weight=edit.background_weight, ridge=edit.ridge),
            moments=moments,
            layer=places[0],
            layers=places[1],
            settings=edit,
            joint=joint,
            texts=background,
            known=tuple(known),
            trained=trained if trained and trained.is_dir() else None,
            cache=kept_in,
            seed=seed,
        )
        self._fold = setup.fold
        self._editor = registry.build(method, setup)
        self._live: dict[Edited, tuple[WeightEdit, ...]] = {}
        self._applied = ExitStack()

    @property
    def live(self) -> tuple[WeightEdit, ...]:
        """The edits that are in the model now, oldest first."""
        return tuple(edit for edits in self._live.values() for edit in edits)

    def edit(self, corrections: CorrectionLike | Iterable[CorrectionLike]) -> Edited:
        """Edit the model so that it answers as the corrections say, on top of the edits that are live.

        Args:
            corrections: one or several. Several are edited together if the method can do that.

        Returns:
            What was done and how to undo it. In a `with` statement it is undone at the end.

        Raises:
            MalformedCorrection: naming field, value and remedy; the model is as it was.
            EditError: the edits could not be computed; the model is as it was.
        """
        one = isinstance(corrections, Correction | Mapping | str | bytes)
        read = [decoded(given)[1] for given in ([corrections] if one else corrections)]  # type: ignore[union-attr]
        for correction in read:
            if correction.op is Op.RETRACT:
                raise UsageError(
                    f"the correction about {correction.subject!r} is a retraction: undo the edit instead"
                )
        facts = [first_version(correction) for correction in read]
        proposal = self._editor.propose(group_by_subject(facts, lambda _: ()), self.live)
        edited = Edited(self, proposal.seconds)
        self._show({**self._live, edited: proposal.edits})
        refused = dict(proposal.refused)
        answers = self._answers([fact.prompt for fact in facts])
        edited.results = tuple(
            EditResult(
                correction=correction,
                answer=answer,
                edited=fact.id not in refused,
                reason=refused.get(fact.id, ""),
            )
            for correction, fact, answer in zip(read, facts, answers, strict=True)
        )
        edited.edits = proposal.edits
        return edited

    def undo(self, edited: Edited) -> None:
        """Remove the edits of one call of `edit`, in any order. A second call does nothing."""
        if edited in self._live:
            self._show({one: edits for one, edits in self._live.items() if one is not edited})

    def _show(self, live: dict[Edited, tuple[WeightEdit, ...]]) -> None:
        """Make the caller's model the base model with these edits."""
        patch = self._fold.fold([edit for edits in live.values() for edit in edits])
        self._applied.close()
        with ExitStack() as undo:
            _apply(self._model, patch, self._host, undo)
            self._applied = undo.pop_all()
        self._live = live

    def _answers(self, prompts: Sequence[str]) -> list[str]:
        """What the edited model answers, greedily."""
        with self._host.patched(self._fold.fold(self.live)):
            return self._host.complete(prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditResult:
    """What became of one correction.

    Attributes:
        correction: as it was given.
        answer: what the edited model answers to its prompt, greedily.
        edited: whether the method made an edit for it. An edit may miss its target: see `holds`.
        reason: why there is no edit; empty otherwise.
    """

    correction: Correction
    answer: str
    edited: bool
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the answer is the target."""
        return self.answer.strip() == self.correction.target_new.strip()


class Edited:
    """The edits of one call of `Editor.edit`, and the way to undo them.

    Attributes:
        results: one for each correction.
        edits: the weight edits, one for each subject.
        seconds: how long the method took.
    """

    def __init__(self, editor: Editor, seconds: float) -> None:
        self._editor, self.seconds = editor, seconds
        self.results: tuple[EditResult, ...] = ()
        self.edits: tuple[WeightEdit, ...] = ()

    def undo(self) -> None:
        """Remove these edits; every byte of the model is as it was without them."""
        self._editor.undo(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        hold = sum(result.holds for result in self.results)
        return (
            f"<Edited by {self._editor.method}: {hold} of {len(self.results)} corrections hold, "
            f"{self.seconds:.1f} s>"
        )


def _apply(model: nn.Module, patch: Patch, host: ModelHost, undo: ExitStack) -> None:
    """Put a patch into the caller's model; `undo` takes it out again."""
    for name, stored in patch.matrices.items():
        # Matrices are folded in float32 for a model of 16 bits, but a plain model has one dtype.
        fitting = stored.to(model.get_parameter(name).dtype)
        undo.callback(write, model, name, write(model, name, fitting))
    for bypass in patch.bypasses:
        layer = model.get_submodule(host.layout.layer_name(bypass.layer))
        down = model.get_submodule(host.layout.mlp_out_name(bypass.layer))
        undo.enter_context(attached(layer, down, bypass))
