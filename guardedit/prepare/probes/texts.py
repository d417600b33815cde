"""General texts for perplexity, by stratum: shipped ones, or the user's. Text only.

The shipped texts were written for this project. A part of them is held out from the guard, so that its
verdict can be checked on texts that it has never seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from guardedit.core.errors import UsageError
from guardedit.zoo.probes import read_texts

#: `guard`: for probe sets. `evaluation`: never in a probe set.
TextPart = Literal["guard", "evaluation"]
#: Stratum of the texts that the embedded model's probe set has as well.
PROSE = "prose"
#: Stratum of texts that are not among the shipped ones.
OWN = "own"


def general_texts(part: TextPart) -> dict[str, tuple[str, ...]]:
    """The shipped texts of a part by stratum: prose, news, letters, code and others."""
    body = (files("guardedit") / "prepare" / "probes" / "general_texts.json").read_text(encoding="utf-8")
    return {
        PROSE: tuple(read_texts(part)),
        **{stratum: tuple(parts[part]) for stratum, parts in json.loads(body).items()},
    }


def held_out_texts() -> tuple[str, ...]:
    """The shipped texts that no probe set should have, of all strata."""
    return tuple(text for parts in general_texts("evaluation").values() for text in parts)


def read_own_texts(path: Path) -> tuple[str, ...]:
    """The texts of a user's file: a JSON list, JSON Lines with `text`, or plain text with one text a line.

    The list has texts, or objects with a `text` or `Text`, as that of ME-PPL (Yang et al. 2024, 2402.09656).

    Raises:
        UsageError: the file cannot be read, has another form, or has no texts.
    """
    try:
        body = path.read_text(encoding="utf-8")
        texts = _parsed(path.suffix, body)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the texts {path}: {error}; give a readable file") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} has another form ({error}): use a JSON list, JSON Lines with text, or plain lines"
        ) from error
    found = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not found:
        raise UsageError(f"{path} has no texts: add sentences of ordinary text, for example 64")
    return found


def strata_of(texts: Iterable[str]) -> Mapping[str, int]:
    """Stratum -> how many of the texts are of it; those that are not shipped count as `own`."""
    known = {text: name for name, parts in general_texts("guard").items() for text in parts}
    counts: dict[str, int] = {}
    for text in texts:
        stratum = known.get(text, OWN)
        counts[stratum] = counts.get(stratum, 0) + 1
    return counts


def held_out_in(texts: Iterable[str]) -> int:
    """How many of the texts belong to the part that no probe set should have."""
    held = set(held_out_texts())
    return sum(text in held for text in texts)


def texts_sha256(texts: Iterable[str]) -> str:
    """Digest of texts in their order."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def _text_in(one: object) -> object:
    """The text of an object with one; everything else as it is."""
    if not isinstance(one, dict):
        return one
    return next((one[name] for name in ("text", "Text") if name in one), one)


def _parsed(suffix: str, body: str) -> list[str]:
    if suffix == ".json":
        texts = json.loads(body)
        texts = [_text_in(one) for one in texts] if isinstance(texts, list) else texts
    elif suffix == ".jsonl":
        texts = [json.loads(line)["text"] for line in body.split("\n") if line.strip()]
    else:
        return body.split("\n")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError("not a list of texts")
    return texts
