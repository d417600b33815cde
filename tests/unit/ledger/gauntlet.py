"""Kills a small coordinator at every durable step, opens the ledger again and looks for damage.

    python tests/unit/ledger/gauntlet.py                        every point, twice
    python tests/unit/ledger/gauntlet.py ledger.commit.after:2  one kill, to repeat a failure
    python tests/unit/ledger/gauntlet.py --ack-first            a sender that lies: must be caught

Each kill is a forked child that dies by SIGKILL. Prints one line a kill, `ok` or what is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from guardedit.core.correction import Correction, content_sha256, decode_correction, encode_correction
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, Placement
from guardedit.core.messages import Delivery, Fate, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.ledger.storage import heads

CORRECTIONS = 4
#: SIGKILL takes nothing from the kernel, so a folder in memory shows the same as a disk, faster.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
POINTS = (
    "ledger.schema.before",
    "ledger.schema.made",
    "ledger.schema.after",
    "ledger.begin.before",
    "ledger.begin.after",
    "inbox.insert.before",
    "inbox.insert.after",
    "ledger.settle.before",
    "ledger.settle.after",
    "blob.write-half",
    "blob.fsync",
    "blob.rename",
    "blob.dirsync",
    "edit.remember.before",
    "edit.remember.after",
    "ledger.commit.before",
    "ledger.commit.after",
    "ref.swap.before",
    "ref.swap.after",
    "ledger.note.before",
    "ledger.note.after",
    "ledger.facts.before",
    "ledger.facts.after",
    "fact.release.before",
    "fact.release.after",
    "head.append",
    "head.fsync",
    "head.rename",
)
ONCE = tuple(point for point in POINTS if point.startswith(("ledger.schema", "ledger.begin")))
#: Written anew every few lines, so that this is killed as well.
heads.LARGE_BYTES = 400


def open_ledger(folder: Path) -> SqliteLedger:
    return SqliteLedger.open(folder, base_sha256="b" * 64, policy_sha256="p", clock=time.time)


def message(n: int) -> bytes:
    return encode_correction(
        Correction(id=f"c{n}", subject=f"Land {n}", prompt="The capital of {} is", target_new="Paris")
    )


def work(folder: Path, acknowledged: Path, *, ack_first: bool = False) -> None:
    """Send, settle, promote, one correction after the other; every message is delivered twice."""
    with open_ledger(folder) as ledger:
        for n in range(CORRECTIONS):
            for place in ("first", "again"):
                if ack_first:
                    acknowledge(acknowledged, place, n)
                ledger.receive([Delivery(raw=message(n), source=place, position=f"{n}")])
                acknowledge(acknowledged, place, n)
            settle(ledger)
            promote(ledger)
        settle(ledger)
        promote(ledger)


def acknowledge(acknowledged: Path, place: str, n: int) -> None:
    with acknowledged.open("a") as file:
        file.write(f"{place} {n}\n")


def settle(ledger: SqliteLedger) -> None:
    for row in ledger.pending(100):
        of = decode_correction(row.raw)
        if ledger.decided_content(of.id) == content_sha256(of):
            ledger.settle([Settlement(seq=row.seq, fate=Fate.DUPLICATE)])
            continue
        fact = Fact(
            key=of.key,
            version=ledger.latest_version(of.key) + 1,
            correction_id=of.id,
            wordings=of.wordings,
            target=of.target_new,
        )
        change = Change(of.key, fact)
        ledger.settle([Settlement(seq=row.seq, fate=Fate.ACCEPTED, correction=of, change=change)])


def promote(ledger: SqliteLedger) -> None:
    facts = [fact for fact in ledger.live().values() if fact.placement is Placement.MEMORY]
    edits = list(ledger.edits())
    for fact in facts:
        edit = ledger.recall_edit(fact.id)
        if edit is None:
            payload = os.urandom(64) * 64  # another time the optimisation would give other bytes
            edit = WeightEdit(subject=fact.key.subject, facts=(fact.id,), method="m", payload=payload)
            ledger.remember_edits([(fact.id, fact.id, edit)])
            ledger.note("proposed", {"digest": edit.digest})
        edits.append(edit)
    if facts:
        epoch = ledger.commit(
            [Change(fact.key, fact.placed(Placement.WEIGHTS)) for fact in facts],
            kind="promote",
            reason="",
            edits=edits,
            weights_sha256=f"w{len(edits)}",
            expected=ledger.ref("serving"),
        )
        ledger.move_ref("last-good", to=epoch.number, expected=ledger.ref("last-good"))
        ledger.change_facts([Change(facts[0].key, ledger.live()[facts[0].key])], kind="redo", reason="")
        ledger.release_fact(facts[0].id)


def damage(folder: Path, acknowledged: Path) -> list[str]:
    """What is wrong after a restart."""
    with open_ledger(folder) as ledger:
        found = ledger.verify()
        entries = ledger.entries(limit=1_000)
        held = {f"{entry.source} {entry.position}" for entry in entries}
        lost = set(acknowledged.read_text().splitlines() if acknowledged.exists() else ()) - held
        found += [f"lost: {line}" for line in sorted(lost)]
        accepted = Counter(entry.correction_id for entry in entries if entry.fate is Fate.ACCEPTED)
        found += [f"applied {n} times: {name}" for name, n in accepted.items() if n != 1]
        placed = {f.id for f in ledger.live().values() if f.placement is Placement.WEIGHTS}
        if placed != {fact for edit in ledger.edits() for fact in edit.facts}:
            found.append("the serving edits are not those of the facts in the weights")
        if {f.correction_id for f in ledger.live().values()} != set(accepted):
            found.append("the live facts are not the accepted corrections")
        seen = ledger.epochs(), list(ledger.live().items())
    with open_ledger(folder) as again:
        if (again.epochs(), list(again.live().items())) != seen:
            found.append("a second restart shows something else")
    if leftovers := list(folder.glob("objects/*/.tmp-*")):
        found.append(f"half-written files: {leftovers}")
    return found


def finished(folder: Path) -> list[str]:
    with open_ledger(folder) as ledger:
        totals = ledger.counts()
        fates = {outcome: n for (_, _, outcome), n in sorted(totals.corrections.items())}
        accepted = sum(n for (_, _, outcome), n in totals.corrections.items() if outcome == "accepted")
        if accepted != CORRECTIONS or totals.inbox_waiting or len(ledger.edits()) != CORRECTIONS:
            return [f"after the work was taken up again: {fates}, {totals.inbox_waiting} wait"]
    return []


def trial(point: str, folder: Path, *, ack_first: bool) -> list[str]:
    """Kill once, check, take up the work again, check again."""
    acknowledged = folder / "acknowledged"
    state = folder / "state"
    if (child := os.fork()) == 0:
        try:
            os.environ["GUARDEDIT_FAILPOINT"] = point
            work(state, acknowledged, ack_first=ack_first)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        return ["was never reached"]
    found = damage(state, acknowledged)
    work(state, acknowledged)
    return found + damage(state, acknowledged) + finished(state)


def main(arguments: list[str]) -> int:
    ack_first = "--ack-first" in arguments
    points = [argument for argument in arguments if not argument.startswith("--")]
    chosen = points or [f"{p}:{nth}" for p in POINTS for nth in (1, 3) if nth == 1 or p not in ONCE]
    wrong = 0
    for point in chosen:
        with tempfile.TemporaryDirectory(prefix="gauntlet-", dir=MEMORY) as folder:
            found = trial(point, Path(folder), ack_first=ack_first)
        wrong += bool(found)
        sys.stdout.write(f"{point}: {'; '.join(found) or 'ok'}\n")
    sys.stdout.write(f"{len(chosen)} kills, {wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
