"""Reads the other files in a model's folder: probe set, background text and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.core.probe import Question, QuestionKind
from guardedit.guard import ProbeSet
from guardedit.models.background import background_texts
from guardedit.models.home.resolving import find_model
from guardedit.models.host import ModelHost
from guardedit.models.loading import load_tokenizer
from guardedit.models.text.tokens import encode, subject_last
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

PROBES = "probes.json"
BACKGROUND = "background.json"
#: Folder in the home folder for second moments and background text, with one folder per base model.
MOMENTS = "moments"
#: Folder of trained editors in the model's folder.
TRAINED = "editors"
#: Tokens of sampled background text for each dimension of a key.
TOKENS_PER_DIMENSION = 24


def model_folder(settings: Settings) -> Path:
    """Folder of the base model; by default that of the embedded demo model.

    Cheap, so it may be called often: only a `.gguf` file that is new is converted.

    Raises:
        UsageError: there is no such model; lists the known ones.
    """
    if settings.model:
        return find_model(settings.model, settings.models)
    return Path(str(files("guardedit"))) / "zoo" / "model"


def probe_file(settings: Settings) -> Path:
    """Path of the guard's probe set: from the settings, else in the model's folder."""
    return settings.probes or model_folder(settings) / PROBES


def load_probes(settings: Settings) -> ProbeSet:
    """Load the probe set; UsageError if there is none."""
    path = probe_file(settings)
    if not path.is_file():
        raise UsageError(
            f"no probe set at {path}: make one with `guardedit model prepare {settings.model or 'MODEL'}`, "
            "or write one (texts and known questions) and name it in GUARDEDIT_PROBES"
        )
    return ProbeSet.load(path)


def find_probes(settings: Settings, policy: Policy) -> ProbeSet | None:
    """The probe set. None if there is none and the policy never routes to the weights, which needs none.

    Raises:
        UsageError: there is none, and the policy needs one.
    """
    if not policy.writes_weights and not probe_file(settings).is_file():
        return None
    return load_probes(settings)


def background(settings: Settings, host: ModelHost, *, folder: Path | None = None) -> list[str]:
    """Background text for the second moments: a file in the model's folder, else text sampled from the model.

    The file is a JSON list of texts. Sampled text, mixed with the statements of the probe set, is cached in
    `folder`, by default in the home folder. Another platform may sample other text, so the folded bytes are
    the same on other platforms only if there is a file.

    Raises:
        UsageError: the file is not a list of texts.
    """
    path = model_folder(settings) / BACKGROUND
    if not path.is_file():
        known = [f"{known.prompt} {known.answer}." for known in load_probes(settings).questions]
        width = host.base_matrix(0).shape[1]
        cache = folder or settings.home / MOMENTS
        return background_texts(host, known, tokens=TOKENS_PER_DIMENSION * width, folder=cache)
    return read_background(path)


def read_background(path: Path) -> list[str]:
    """The texts in a background file, a JSON list.

    Raises:
        UsageError: it is not a list of texts.
    """
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): it must contain a list of texts") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f'{path} must contain a list of texts: ["One text.", ...]')
    return texts


def catalogue(settings: Settings) -> tuple[Question, ...]:
    """The questions of the probe set, whose answers edits must keep; empty without a probe set."""
    if not probe_file(settings).is_file():
        return ()
    return tuple(
        Question(
            prompt=known.prompt,
            kind=QuestionKind.OTHER_SUBJECT,
            expected=known.answer,
            subject=known.subject,
            relation=known.relation,
        )
        for known in load_probes(settings).questions
    )


def known_questions(probes: ProbeSet, subject: str) -> tuple[Question, ...]:
    """The probe set's questions about a subject, one per relation, whose answers edits must keep."""
    chosen: dict[str, Question] = {}
    for known in probes.questions_about(subject):
        chosen.setdefault(
            known.relation,
            Question(
                prompt=known.prompt,
                kind=QuestionKind.SAME_SUBJECT,
                expected=known.answer,
                subject=known.subject,
                relation=known.relation,
            ),
        )
    return tuple(chosen.values())


def tokenizer_check(settings: Settings) -> Callable[[Correction], None]:
    """The checks that need the tokenizer: the subject is found in every wording, and the prompt fits."""
    folder = model_folder(settings)
    tokenizer, context = load_tokenizer(folder)

    def check(correction: Correction) -> None:
        for wording, at in correction.located_wordings:
            encode(tokenizer, f"{wording} {correction.target_new}", context=context)
            subject_last(tokenizer, wording, correction.subject, at)

    return check
