"""What lies in a model's folder beside its weights: the probe set, the edit card, the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from guardedit.core.correction import Correction
from guardedit.core.errors import PolicyError, UsageError
from guardedit.core.probe import Kind, Question
from guardedit.guard import ProbeSet
from guardedit.models.host import load_tokenizer
from guardedit.models.tokens import encode, subject_last
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

EDIT_CARD = "edit_card.json"
PROBES = "probes.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCard:
    """Where a base model is best edited, found by a sweep; `edit_card.json` in the model's folder."""

    layer: int
    settings: Mapping[str, float]

    @staticmethod
    def load(folder: Path) -> EditCard | None:
        """The card of a model folder; None when it has none."""
        path = folder / EDIT_CARD
        if not path.is_file():
            return None
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            return EditCard(layer=int(body["layer"]), settings=dict(body.get("settings", {})))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is not an edit card ({error}): it holds layer and settings") from error


def model_folder(settings: Settings) -> Path:
    """The folder of the base model; the embedded demo model when none is named."""
    return Path(settings.model) if settings.model else Path(str(files("guardedit"))) / "zoo" / "model"


def probe_file(settings: Settings) -> Path:
    """The guard's probe set: named in the environment, or the one beside the model."""
    return settings.probes or model_folder(settings) / PROBES


def load_probes(settings: Settings) -> ProbeSet:
    """The probe set; UsageError with the remedy when there is none."""
    path = probe_file(settings)
    if not path.is_file():
        raise UsageError(
            f"no probe set at {path}: write one (texts and known questions) and name it in GUARDEDIT_PROBES"
        )
    return ProbeSet.load(path)


def edit_layer(policy: Policy, settings: Settings) -> int:
    """The layer to edit: the policy's, else the model card's."""
    if policy.editing.layer is not None:
        return policy.editing.layer
    card = EditCard.load(model_folder(settings))
    if card is None:
        raise PolicyError(
            f"editing.layer is null and {model_folder(settings)} has no {EDIT_CARD}: set editing.layer"
        )
    return card.layer


def known_questions(probes: ProbeSet, subject: str) -> tuple[Question, ...]:
    """The catalogue's questions about a subject, one a relation, as answers to be kept."""
    chosen: dict[str, Question] = {}
    for known in probes.questions_about(subject):
        chosen.setdefault(
            known.relation,
            Question(
                prompt=known.prompt,
                kind=Kind.SAME_SUBJECT,
                expected=known.answer,
                subject=known.subject,
                relation=known.relation,
            ),
        )
    return tuple(chosen.values())


def tokenizer_check(settings: Settings) -> Callable[[Correction], None]:
    """What only the tokenizer can tell: the subject is found in every wording, and the prompt fits."""
    folder = model_folder(settings)
    tokenizer, context = load_tokenizer(folder)

    def check(correction: Correction) -> None:
        for wording in correction.wordings:
            encode(tokenizer, f"{wording} {correction.target_new}", context=context)
            subject_last(tokenizer, wording, correction.subject)

    return check
