"""What lies in a model's folder beside its weights: the probe set, background text, the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.core.probe import Kind, Question
from guardedit.guard import ProbeSet
from guardedit.models.background import background_texts
from guardedit.models.host import ModelHost
from guardedit.models.loading import load_tokenizer
from guardedit.models.text.tokens import encode, subject_last
from guardedit.settings import Settings

PROBES = "probes.json"
BACKGROUND = "background.json"
#: In the home folder: what was collected from a base model, under its digest.
MOMENTS = "moments"
#: Folder of trained editors.
TRAINED = "editors"
#: Tokens of sampled prose for each dimension of a key.
PROSE = 24


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


def background(settings: Settings, host: ModelHost, *, folder: Path | None = None) -> list[str]:
    """Ordinary text for the second moments: the file beside the model, else what the model says by itself.

    The file is a JSON list of texts. Sampled text, with the statements of the probe set in between, is kept
    in `folder`, by default in the home folder; another platform may sample otherwise, so a file makes the
    folded bytes portable.

    Raises:
        UsageError: when the file is not a list of texts.
    """
    path = model_folder(settings) / BACKGROUND
    if not path.is_file():
        known = [f"{known.prompt} {known.answer}." for known in load_probes(settings).questions]
        width = host.base_matrix(0).shape[1]
        kept_in = folder or settings.home / MOMENTS
        return background_texts(host, known, tokens=PROSE * width, folder=kept_in)
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): it holds a list of texts") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f'{path} must hold a list of texts: ["One text.", ...]')
    return texts


def catalogue(settings: Settings) -> tuple[Question, ...]:
    """The probe set's questions as answers to be kept; nothing where there is no probe set."""
    if not probe_file(settings).is_file():
        return ()
    return tuple(
        Question(
            prompt=known.prompt,
            kind=Kind.OTHER_SUBJECT,
            expected=known.answer,
            subject=known.subject,
            relation=known.relation,
        )
        for known in load_probes(settings).questions
    )


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
        for wording, at in correction.worded:
            encode(tokenizer, f"{wording} {correction.target_new}", context=context)
            subject_last(tokenizer, wording, correction.subject, at)

    return check
