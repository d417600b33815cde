"""Builds, describes and checks the probe set of the model in the settings: reads and writes its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from guardedit import assembly
from guardedit.core.durable import replace_file
from guardedit.core.errors import UsageError
from guardedit.guard import ProbeSet
from guardedit.memory.context import Prompts
from guardedit.models.host import ModelHost
from guardedit.policy.schema import Policy
from guardedit.prepare.facts import PublicFact, load_public_facts, load_relations, read_facts
from guardedit.prepare.probes.benign import RELATIVE_SIZE, middle_layers
from guardedit.prepare.probes.building import BuildSettings, BuiltQuestions, QuestionBuilder, Tell
from guardedit.prepare.probes.candidates import in_turn
from guardedit.prepare.probes.checking import ProbeCheck, Wanted, check_probes, problems
from guardedit.prepare.probes.estimate import Estimate, estimate
from guardedit.prepare.probes.kept_results import KeptResults
from guardedit.prepare.probes.known import ANSWER_TOKENS, AnswerPlace
from guardedit.prepare.probes.texts import general_texts, read_own_texts, strata_of, texts_sha256
from guardedit.settings import Settings

#: Folder in the home folder for the results of a build, which a build that was stopped goes on from.
RESULTS = "probes"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What `probes build` is asked for.

    Attributes:
        facts: the user's facts; None: the shipped ones that are not held out.
        texts: the user's texts; None: the shipped ones of the guard's part.
        questions: most facts in the probe set.
        noise: number of benign changes under which answers must stay.
        seed: of the order of facts and of the noise.
        path: of the probe set; None: in the model's folder.
    """

    facts: Path | None = None
    texts: Path | None = None
    questions: int = 400
    noise: int = 3
    seed: int = 0
    path: Path | None = None


def build_probes(
    settings: Settings,
    asked: BuildRequest,
    *,
    tell: Tell,
    say: Callable[[Estimate], None],
    host: ModelHost | None = None,
) -> tuple[Path, BuiltQuestions]:
    """Build the probe set of a model and write it; `say` gets the estimate before the long work.

    `host` is the model, if it is loaded already.

    Raises:
        UsageError: facts or texts cannot be read, the model knows none of the facts, or the file cannot be
            written.
    """
    path = _writable(asked.path or _default_path(settings))
    facts = load_public_facts("build") if asked.facts is None else read_facts(asked.facts)
    texts = _texts(asked.texts)
    host, prompts = host or assembly.load_host(settings), assembly.load_prompts(settings)
    order = in_turn(facts, seed=asked.seed)
    say(estimate(host, prompts, order, questions=asked.questions, noise=asked.noise))
    settled = BuildSettings(
        questions=asked.questions,
        noise=asked.noise,
        seed=asked.seed,
        layers=edited_layers(settings, host),
    )
    kept = KeptResults(_results_file(settings, host, prompts, settled))
    found = QuestionBuilder(host, prompts, settled, kept, tell).build(order)
    if not found.rows:
        raise UsageError(
            f"the model knows none of the {len(order)} facts in two wordings: "
            "give facts that it knows with --facts"
        )
    replace_file(path, probe_set_text(texts, found.rows).encode(), step="probes")
    return path, found


def describe_probes(probes: ProbeSet) -> dict[str, Any]:
    """Counts of a probe set by relation and stratum, with its fingerprints and examples."""
    relations = load_relations()
    counts = Counter(known.relation for known in probes.questions)
    first = {known.relation: known for known in reversed(probes.questions)}
    return {
        "sha256": probes.sha256,
        "texts": len(probes.texts),
        "texts_sha256": texts_sha256(probes.texts),
        "questions": len(probes.questions),
        "facts": len({(known.subject, known.relation) for known in probes.questions}),
        "subjects": len({known.subject for known in probes.questions}),
        "strata": [{"stratum": name, "texts": n} for name, n in strata_of(probes.texts).items()],
        "relations": [
            {
                "relation": name,
                "name": relations[name].name if name in relations else None,
                "questions": n,
                "answers": len({known.answer for known in probes.questions if known.relation == name}),
                "example": first[name].prompt,
                "answer": " ".join(filter(None, (first[name].lead, first[name].answer))),
            }
            for name, n in counts.most_common()
        ],
    }


def check(
    settings: Settings, policy: Policy, *, noise: int, seed: int, tell: Tell
) -> tuple[ProbeCheck, tuple[str, ...]]:
    """Measure the probe set of a model; also a sentence for each thing that the policy's limits need.

    Raises:
        UsageError: there is no probe set.
    """
    probes = assembly.load_probes(settings)
    host, prompts = assembly.load_host(settings), assembly.load_prompts(settings)
    limits = policy.guard
    wanted = Wanted(
        confidence=limits.confidence,
        ratio=limits.perplexity_ratio_to_serving,
        other_subject_min=limits.other_subject_min,
        sample=limits.other_subject_sample,
        texts=limits.min_probe_texts,
    )
    layers = edited_layers(settings, host)
    found = check_probes(host, prompts, probes, wanted, layers=layers, noise=noise, seed=seed, tell=tell)
    return found, tuple(problems(found, wanted, settings.model))


def edited_layers(settings: Settings, host: ModelHost) -> tuple[int, ...]:
    """The layers of the model's edit card; the middle third where there is none."""
    card = assembly.find_card(settings, host.base_sha256)
    return middle_layers(host) if card is None else tuple(card.layers)


def probe_set_text(texts: Sequence[str], rows: Sequence[tuple[PublicFact, AnswerPlace]]) -> str:
    """The file of a probe set, with one text or question a line."""
    questions = [
        {
            "subject": fact.subject,
            "relation": fact.relation,
            "prompt": place.question,
            "answer": place.answer,
            **({"lead": place.lead} if place.lead else {}),
        }
        for fact, place in rows
    ]
    parts = [
        f'"{name}": [\n' + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items) + "\n]"
        for name, items in (("texts", texts), ("questions", questions))
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _texts(path: Path | None) -> tuple[str, ...]:
    if path is not None:
        return read_own_texts(path)
    return tuple(text for parts in general_texts("guard").values() for text in parts)


def _default_path(settings: Settings) -> Path:
    if not settings.model:
        raise UsageError(
            "the built-in demo model has a probe set already: name another model, or a file with --out"
        )
    return assembly.model_folder(settings) / assembly.PROBES


def _writable(path: Path) -> Path:
    folder = path.absolute().parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the probe set cannot be written to {path}: name a file that can be with --out")
    return path


def _results_file(settings: Settings, host: ModelHost, prompts: Prompts, settled: BuildSettings) -> Path:
    """A file for this model, form and noise: other facts or another number of them use the same results."""
    same = {**asdict(settled), "questions": None, "size": RELATIVE_SIZE, "tokens": ANSWER_TOKENS}
    body = json.dumps([host.base_sha256, prompts.alone("?"), same], sort_keys=True)
    return settings.home / RESULTS / f"{hashlib.sha256(body.encode()).hexdigest()[:24]}.jsonl"
