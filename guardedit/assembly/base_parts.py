"""Lists the files that answers depend on besides the ledger, each with its digest.

No model is loaded, so any process can detect a change. Trained editors are not among the parts: the edits
that they made are in the ledger, byte for byte.
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
from guardedit.assembly.prompts import MEMORY_CARD
from guardedit.core.errors import MemoryIndexError, UsageError
from guardedit.guard import NOISE_FILE
from guardedit.memory.encoder import packaged_minilm
from guardedit.models.weights.second_moments import read_moments
from guardedit.settings import Settings

#: Digest of a missing file.
ABSENT = "absent"
#: Digest of a damaged cache file. It is computed again when it is needed.
DAMAGED = "damaged"

#: Kinds with several files -> their names in a model's folder.
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
#: Kinds that the fold depends on. A change of them cannot be accepted while there are edits in the weights.
FOLDED = frozenset({"weights", "config", "tokenizer", "background", "edit_card", "moments"})
#: Kinds that are collected again if a file is lost.
DERIVED = frozenset({"moments"})
#: Kinds that `guardedit model prepare` makes. A policy that never routes to the weights does without them.
PREPARED = frozenset({"edit_card", "background", "probes", "memory_card", "noise"})
#: Smaller files are read every time: two changes within one tick of the clock have the same timestamp.
LARGE_BYTES = 1 << 20


def base_parts(settings: Settings, base_sha256: str, *, cache: Path | None = None) -> dict[str, str]:
    """Name of a part -> its sha256, or `ABSENT`.

    A name is `KIND`, or `KIND/FILE` for kinds with several files. The digest of second moments covers all
    their fields, every other digest the bytes of the file.

    Args:
        settings: model, home folder, probe set and encoder.
        base_sha256: digest of the base model; names its folder in the home folder.
        cache: folder of second moments; default: the one in the home folder.

    Raises:
        UsageError: a file cannot be read.
    """
    cached = _cached(cache or settings.home / MOMENTS, base_sha256)
    return {name: digest_of(path) for name, path in _files(settings, base_sha256).items()} | {
        f"moments/{path.name}": derived_digest(path) for path in cached
    }


def path_of(settings: Settings, base_sha256: str, name: str) -> Path:
    """The path of a part, whether it exists or not."""
    kind, _, file = name.partition("/")
    if kind == "moments":
        return settings.home / MOMENTS / base_sha256 / file
    if kind == "encoder":
        return (encoder_folder(settings) or Path(settings.encoder)) / file
    return _files(settings, base_sha256).get(name, model_folder(settings) / file)


def kind_of(name: str) -> str:
    """The kind in the name of a part.

    >>> kind_of("tokenizer/merges.txt")
    'tokenizer'
    """
    return name.partition("/")[0]


def folds(settings: Settings, name: str) -> bool:
    """Whether the folded bytes depend on a part.

    Without a background file in the model's folder they depend on the probe set too, because the sampled
    background contains its statements.
    """
    replaces_background = kind_of(name) == "probes" and not (model_folder(settings) / BACKGROUND).is_file()
    return kind_of(name) in FOLDED or replaces_background


def digest_of(path: Path) -> str:
    """sha256 of the bytes of a file; `ABSENT` if there is none."""
    return _digest(path, _of_bytes)


def derived_digest(path: Path) -> str:
    """Digest of a cached file of second moments or background text."""
    return _digest(path, _of_moments if path.suffix == ".safetensors" else _of_bytes)


def encoder_folder(settings: Settings) -> Path | None:
    """Folder of the sentence encoder; None if it is given by name or is not installed."""
    if settings.encoder:
        return Path(settings.encoder) if Path(settings.encoder).is_dir() else None
    try:
        return packaged_minilm()
    except MemoryIndexError:
        return None


def _files(settings: Settings, base_sha256: str) -> dict[str, Path]:
    """All parts except collected ones, by name."""
    folder = model_folder(settings)
    found = {
        "config": folder / "config.json",
        "generation_config": folder / "generation_config.json",
        "edit_card": folder / EDIT_CARD,
        "edit_card/home": card_file(settings, base_sha256),
        "background": folder / BACKGROUND,
        "memory_card": folder / MEMORY_CARD,
        "noise": folder / NOISE_FILE,
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
    """Files of the encoder, without packaged weights, which are loaded only with their known digest."""
    if (folder := encoder_folder(settings)) is None:
        return
    for path in sorted(folder.rglob("*")):
        packaged = not settings.encoder and path.suffix == ".safetensors"
        if path.suffix in {".json", ".safetensors", ".txt", ".model"} and not packaged:
            yield f"encoder/{path.relative_to(folder).as_posix()}", path


def _cached(folder: Path, base_sha256: str) -> list[Path]:
    """Cached files of second moments and of sampled background text of a base model."""
    kept = folder / base_sha256
    return sorted(path for path in kept.glob("*") if path.suffix in {".json", ".safetensors"})


def _digest(path: Path, read: Callable[[Path], str]) -> str:
    try:
        found = path.stat()
        if found.st_size < LARGE_BYTES:
            return read(path)
        return _cached_digest(read, path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; make it readable") from error


@lru_cache(maxsize=1_024)
def _cached_digest(read: Callable[[Path], str], path: Path, _stamp: tuple[int, ...]) -> str:
    """Digest of a large file. A process reads it again only if inode, size or timestamps have changed."""
    return read(path)


def _of_bytes(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_moments(path: Path) -> str:
    moments = read_moments(path)
    return DAMAGED if moments is None else moments.sha256
