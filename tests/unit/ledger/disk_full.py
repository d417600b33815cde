"""Fills the disk under a ledger, by a limit on the size of this process's files, and prints what was kept.

Prints one JSON object. Run in a process of its own: the limit holds for everything that the process writes.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from guardedit.core.errors import StorageFull
from guardedit.core.messages import Delivery
from guardedit.core.proposal import WeightEdit
from guardedit.ledger.sqlite_ledger import SqliteLedger


def main(folder: Path) -> None:
    with SqliteLedger.open(folder, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0) as ledger:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, most))
        acknowledged, said = 0, ""
        while not said:
            try:
                batch = [
                    Delivery(raw=b"x" * 1_000, source="s", position=f"{acknowledged + n}") for n in range(20)
                ]
                acknowledged += ledger.receive(batch)
            except StorageFull as error:
                said = str(error)
        kept = len(ledger.pending(100_000))
        blob = WeightEdit(subject="s", facts=("f",), method="m", payload=b"y" * 700_000)
        blob_said = ""
        try:
            ledger.remember_edits([("key", "group", blob)])
        except StorageFull as error:
            blob_said = str(error)
        leftovers = [str(path) for path in (folder / "objects").glob("*/*")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        ledger.receive([Delivery(raw=b"after", source="s", position="after")])
        ledger.remember_edits([("key", "group", blob)])
        report = {
            "acknowledged": acknowledged,
            "kept": kept,
            "said": said,
            "blob_said": blob_said,
            "leftovers": leftovers,
            "after": len(ledger.pending(100_000)),
            "recalled": ledger.recall_edit("key") == blob,
            "problems": ledger.verify(),
        }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
