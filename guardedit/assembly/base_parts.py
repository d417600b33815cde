"""What the answers of a model depend on beside the ledger: its files, each with its digest.

Reads files and loads no model, so a process that has none can tell whether anything was changed. Trained
editors are not among them: what they have made is in the ledger, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from guardedit.assembly.edit_cards import EDIT_CARD, card_file
from guardedit.assembly.model_files import BACKGROUND, MOMENTS, model_folder, probe_file
from guardedit.core.errors import MemoryIndexError, UsageError
from guardedit.memory.encoder import packaged_minilm
from guardedit.models.weights.statistics import read_moments
from guardedit.settings import Settings

#: Digest of what is not there.
ABSENT = "absent"
#: Digest of a cache file that is not what was written: it is made anew when it is needed.
DAMAGED = "damaged"

#: Kinds of several files -> their names in a model's folder.
FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "weights": ("*.safetensors", "*.safetensors.index.json", "adapter_config.json"),
        "tokenizer": (
            "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges*",
            "normalizer.json", "*.model", "*.tiktoken", "*.spm",
        ),
        "chat_template": ("chat_template*", "additional_chat_templates/*"),
    }
)  # fmt: skip
#: Kinds of which the fold depends: with edits in the weights they cannot be changed.
FOLDED = frozenset({"weights", "config", "tokenizer", "background", "edit_card", "moments"})
#: Kinds that are collected again where a file was lost.
DERIVED = frozenset({"moments"})
#: Smaller files are read each time: two changes within a tick of the clock have one and the same stamp.
LARGE_BYTES = 1 << 20


def base_parts(settings: Settings, base_sha256: str, *, cache: Path | None = None) -> dict[str, str]:
    """Name of a part -> its sha256, `ABSENT` for one of a single file that is not there.

    A name is `KIND`, or `KIND/FILE` where there may be several. Second moments count with all their fields,
    everything else with its bytes.

    Args:
        settings: model, home folder, probe set and encoder.
        base_sha256: the base model's digest, under which the home folder keeps what belongs to it.
        cache: folder of second moments; default: the home folder's.

    Raises:
        UsageError: for a file that cannot be read.
    """
    cached = _cached(cache or settings.home / MOMENTS, base_sha256)
    return {name: digest_of(path) for name, path in _files(settings, base_sha256).items()} | {
        f"moments/{path.name}": derived_digest(path) for path in cached
    }


def path_of(settings: Settings, base_sha256: str, name: str) -> Path:
    """Where a part lies, or would lie."""
    kind, _, file = name.partition("/")
    if kind == "moments":
        return settings.home / MOMENTS / base_sha256 / file
    if kind == "encoder":
        return (encoder_folder(settings) or Path(settings.encoder)) / file
    return _files(settings, base_sha256).get(name, model_folder(settings) / file)


def kind_of(name: str) -> str:
    """Kind of a part.

    >>> kind_of("tokenizer/merges.txt")
    'tokenizer'
    """
    return name.partition("/")[0]


def folds(settings: Settings, name: str) -> bool:
    """Whether the folded bytes depend on a part.

    Without background text beside the model they depend on the probe set, whose statements stand in for it.
    """
    stands_in = kind_of(name) == "probes" and not (model_folder(settings) / BACKGROUND).is_file()
    return kind_of(name) in FOLDED or stands_in


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes; `ABSENT` when there is none."""
    return _digest(path, _of_bytes)


def derived_digest(path: Path) -> str:
    """Digest of a kept file of second moments or background text."""
    return _digest(path, _of_moments if path.suffix == ".safetensors" else _of_bytes)


def encoder_folder(settings: Settings) -> Path | None:
    """Folder of the sentence encoder; None when a name, not a folder, is given, or it is not installed."""
    if settings.encoder:
        return Path(settings.encoder) if Path(settings.encoder).is_dir() else None
    try:
        return packaged_minilm()
    except MemoryIndexError:
        return None


def _files(settings: Settings, base_sha256: str) -> dict[str, Path]:
    """All parts but what was collected, by name."""
    folder = model_folder(settings)
    found = {
        "config": folder / "config.json",
        "generation_config": folder / "generation_config.json",
        "edit_card": folder / EDIT_CARD,
        "edit_card/home": card_file(settings, base_sha256),
        "background": folder / BACKGROUND,
        "probes": probe_file(settings),
    }
    return found | dict(_in_folder(folder)) | dict(_of_encoder(settings))


def _in_folder(folder: Path) -> Iterator[tuple[str, Path]]:
    for kind, patterns in FILES.items():
        for path in sorted((*folder.glob("*"), *folder.glob("additional_chat_templates/*"))):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in patterns):
                yield f"{kind}/{name}", path


def _of_encoder(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Its files. The packaged one's weights are not among them: nothing but their known digest is loaded."""
    if (folder := encoder_folder(settings)) is None:
        return
    for path in sorted(folder.rglob("*")):
        packaged = not settings.encoder and path.suffix == ".safetensors"
        if path.suffix in {".json", ".safetensors", ".txt", ".model"} and not packaged:
            yield f"encoder/{path.relative_to(folder).as_posix()}", path


def _cached(folder: Path, base_sha256: str) -> list[Path]:
    """Files of second moments and of sampled background text that are kept for a base model."""
    kept = folder / base_sha256
    return sorted(path for path in kept.glob("*") if path.suffix in {".json", ".safetensors"})


def _digest(path: Path, read: Callable[[Path], str]) -> str:
    try:
        seen = path.stat()
        if seen.st_size < LARGE_BYTES:
            return read(path)
        return _known(read, path, (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; make it readable") from error


@lru_cache(maxsize=1_024)
def _known(read: Callable[[Path], str], path: Path, _stamp: tuple[int, ...]) -> str:
    """Each large file once in the life of a process, as long as it has the same stamp."""
    return read(path)


def _of_bytes(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_moments(path: Path) -> str:
    moments = read_moments(path)
    return DAMAGED if moments is None else moments.sha256
