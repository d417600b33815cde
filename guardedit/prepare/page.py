"""The page about a prepared model: what was found, and what to expect. Reads the files in its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from guardedit.models.home.prepared import PREPARED_PAGE

__all__ = ["PREPARED_PAGE", "page"]


def page(folder: Path, name: str) -> str:
    """The page in Markdown; a part whose file is missing says so."""
    parts = [
        f"# {name}",
        "\n".join(_editing(_read(folder / "edit_card.json"))),
        "\n".join(_questions(_read(folder / "probes.json"))),
        "\n".join(_memory(_read(folder / "memory_card.json"))),
        "\n".join(_noise(_read(folder / "noise.json"))),
    ]
    return "\n\n".join(parts) + "\n"


def _editing(card: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Edits\n"
    if card is None:
        yield "Not searched yet: facts stay in memory."
        return
    about = card.get("about", {})
    layers = card.get("layers", [card["layer"]])
    changed = ", ".join(
        f"{key} {('off', 'on')[value] if isinstance(value, bool) else format(value, 'g')}"
        for part in card.get("dials", {}).values()
        for key, value in part.items()
    )
    yield f"Edits are spread over layers {layers[0]} to {layers[-1]}; changed settings: {changed or 'none'}."
    if checked := about.get("checked"):
        yield (
            f"{checked['edits']} edits together, on facts that nothing was chosen on: own prompts "
            f"{_share(checked['efficacy'])}, other wordings {_share(checked['unseen'])} (by likelihood), "
            f"other subjects unchanged {_share(checked['neighbours'])}, same subject "
            f"{_share(checked['same_subject'])}, perplexity x{_number(checked['perplexity_ratio'], 4)}."
        )
        seconds = _number(checked["seconds_per_edit"], 1)
        yield f"Expect {seconds} s for each edit, on the machine that measured it."
        yield _capacity(checked)


def _questions(probes: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Probes\n"
    if probes is None:
        yield "Not built yet."
        return
    facts = {(row["subject"], row["relation"]) for row in probes["questions"]}
    yield (
        f"{len(probes['texts'])} texts, and {len(probes['questions'])} questions about {len(facts)} facts "
        "that the model gives rightly and stably."
    )


def _memory(card: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Memory\n"
    if card is None:
        yield "Not tuned yet: facts are stated in the default wording."
        return
    yield f"Facts are stated like this: `{json.dumps(card.get('announcement'), ensure_ascii=False)}`."
    held_out = card.get("held_out")
    if isinstance(held_out, Mapping):
        shares = {key: value for key, value in held_out.items() if key not in ("facts", "asked")}
        numbers = ", ".join(f"{key} {_number(value, 3)}" for key, value in shares.items())
        yield f"On {held_out.get('facts')} facts that nothing was chosen on, all in memory: {numbers}."


def _noise(noise: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Noise\n"
    if noise is None:
        yield "Not measured yet: the guard takes every changed answer for harm."
        return
    yield f"Answers that change by {noise['edits']} harmless sets of edits:\n"
    for name, asked in noise["asked"].items():
        yield f"- {name}: {noise['changed'][name]} of {asked}"


def _capacity(checked: Mapping[str, Any]) -> str:
    """How many edits raise perplexity by 2 %, if each costs as much as those that were measured."""
    ratio, edits = checked.get("perplexity_ratio"), checked["edits"]
    if not isinstance(ratio, int | float) or math.isnan(ratio):
        return "Their perplexity was not measured."
    if ratio <= 1:
        return f"{edits} edits raised perplexity by nothing that could be measured."
    return (
        f"At this rate about {0.02 / (ratio - 1) * edits:.0f} edits raise perplexity by 2 % "
        f"(extrapolated from {edits})."
    )


def _share(value: float | None) -> str:
    return _number(value, 2)


def _number(value: object, digits: int) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "not asked"
    return f"{value:.{digits}f}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
