"""Write an edited model as a folder that transformers, vLLM and others can load."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guardedit.core.errors import EditError, StorageFull, UsageError
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.loading import no_progress_bar

#: File beside config.json that lists what the exported model knows and where it comes from.
MANIFEST = "guardedit.json"
#: File with the facts that are answered from memory only; the exported model does not know them.
MEMORY_FACTS = "memory_facts.jsonl"


def export_model(
    host: ModelHost,
    patch: Patch,
    folder: Path,
    *,
    manifest: Mapping[str, Any],
    memory_facts: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the patched model, its tokenizer and a manifest into `folder`: all of it or nothing.

    Tensors keep the dtype in which the model was loaded. The folder is written under a temporary name and
    then renamed.

    Args:
        host: the base model.
        patch: the patch that the edits fold to.
        folder: must be missing or empty.
        manifest: plain JSON data for `guardedit.json`.
        memory_facts: JSON objects, one per line of `memory_facts.jsonl`.

    Raises:
        EditError: the patch has parts beside the matrices, which no plain model folder can hold.
        UsageError: the folder is not empty, or is a file.
        StorageFull: the folder cannot be written.
    """
    refuse_used(folder)
    if patch.bypasses:
        layers = ", ".join(str(bypass.layer) for bypass in patch.bypasses)
        raise EditError(
            f"edits of layer {layers} run beside the matrices and cannot be written into a model folder: "
            "roll back to an epoch without them, or edit with a method that writes matrices"
        )
    with whole_folder(folder) as made:
        with no_progress_bar(), host.patched(_in_one_dtype(host, patch)):
            host.model.save_pretrained(made, safe_serialization=True)
        host.tokenizer.save_pretrained(made)
        write_records(made, manifest, memory_facts)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes its name only when the block ends without an error.

    Raises:
        UsageError: `folder` is not empty, or is a file.
        StorageFull: it cannot be written.
    """
    refuse_used(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as aside:
            made = Path(aside) / folder.name
            made.mkdir()
            yield made
            if folder.is_dir():
                folder.rmdir()  # empty, as was checked
            shutil.move(made, folder)
    except OSError as error:
        raise StorageFull(
            f"cannot write {folder}: {error}; free some space or name another folder"
        ) from error


def write_records(
    folder: Path, manifest: Mapping[str, Any], memory_facts: Sequence[Mapping[str, Any]]
) -> None:
    """Write the manifest, and the facts that only the memory answers."""
    (folder / MANIFEST).write_text(json.dumps(dict(manifest), indent=2) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(dict(fact), ensure_ascii=False) + "\n" for fact in memory_facts)
    (folder / MEMORY_FACTS).write_text(lines, encoding="utf-8")


def _in_one_dtype(host: ModelHost, patch: Patch) -> Patch:
    """The patch with its matrices in the dtype in which the model was loaded."""
    own = {name: host.model.get_parameter(name).dtype for name in patch.matrices}
    return Patch({name: stored.to(own[name]) for name, stored in patch.matrices.items()}, patch.bypasses)


def refuse_used(folder: Path) -> None:
    """Raise UsageError unless `folder` is missing or an empty folder. Call this before any slow work."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise UsageError(f"{folder} exists and is not an empty folder: name a new one")
