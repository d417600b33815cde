"""What the models' home knows about one model: the file `model.json` in its folder. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from guardedit.core.durable import replace_file
from guardedit.core.errors import UsageError

#: Name of the file.
MODEL_RECORD = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """Where a model comes from.

    Attributes:
        name: its folder's name in the models' home.
        source: where it was taken from: a package with its version, a GGUF file or a folder.
        licence: as its source states it; empty where it states none.
        url: a page about it; empty where none is known.
        source_sha256: digest of the GGUF file that it was converted from; empty for a folder.
        source_stamp: size in bytes and time of change in ns of a GGUF file of the user's; empty otherwise.
        base_sha256: digest of the model as it is loaded, `ModelHost.base_sha256`.
        converted_by: library and version that read the GGUF file; empty where nothing was converted.
        files: name -> sha256 of its small files, such as configuration and tokenizer.
    """

    name: str
    source: str
    licence: str = ""
    url: str = ""
    source_sha256: str = ""
    source_stamp: tuple[int, ...] = ()
    base_sha256: str = ""
    converted_by: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def write_record(folder: Path, record: ModelRecord) -> None:
    """Write the record of the model in a folder. Atomic.

    Raises:
        StorageFull: the disk is full.
    """
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    replace_file(folder / MODEL_RECORD, text.encode(), step="model")


def read_record(folder: Path) -> ModelRecord | None:
    """The record of the model in a folder; None where there is none.

    Raises:
        UsageError: the file is not such a record.
    """
    path = folder / MODEL_RECORD
    try:
        found = json.loads(path.read_bytes())
        known = {item.name for item in fields(ModelRecord)}
        record = ModelRecord(**{name: value for name, value in found.items() if name in known})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{path} is not the record of a model ({error}): remove {folder} and add the model again"
        ) from error
    return record
