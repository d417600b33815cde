"""Do the tests notice when the core of the package is broken? `python -m tests.mutations [NAME ...]`

Each mutation is one small change of the code that an honest mistake might make. It is applied to a copy of
the package, and the named test must fail there; on the unchanged copy it must pass. Prints a table; exit code
1 where one survived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("guardedit", "tests", "policies", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Mutation:
    """What is broken: in `file` the text `old`, which stands there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    test: str


REJECTED = "        if verdict.outcome is Outcome.REJECT:\n"
AGENT, LEDGER = "tests/unit/agent", "tests/unit/ledger"

MUTATIONS = (
    Mutation(
        "the broker is acknowledged before the inbox commits",
        "guardedit/agent/live.py",
        "                fresh = self.parts.ledger.receive(deliveries) if deliveries else 0\n",
        "                source.ack(deliveries)\n"
        "                fresh = self.parts.ledger.receive(deliveries) if deliveries else 0\n",
        f"{AGENT}/test_live.py::test_a_broker_is_acknowledged_only_after_the_inbox_has_committed",
    ),
    Mutation(
        "facts of other tenants are promoted",
        "guardedit/agent/batch.py",
        '        and fact.key.tenant == "default"\n',
        "",
        f"{AGENT}/test_batch.py::test_only_stable_facts_of_the_default_tenant_wait_for_the_weights",
    ),
    Mutation(
        "expiring facts are promoted",
        "guardedit/agent/batch.py",
        "        and fact.valid_until_s is None\n",
        "",
        f"{AGENT}/test_batch.py::test_only_stable_facts_of_the_default_tenant_wait_for_the_weights",
    ),
    Mutation(
        "a rollback restores an edit that holds a superseded fact",
        "guardedit/agent/reversal.py",
        "tuple(edit for edit in parts.ledger.edits(to) if set(edit.facts) <= alive)",
        "tuple(parts.ledger.edits(to))",
        f"{AGENT}/test_reversal.py::test_a_rollback_does_not_restore_an_edit_that_holds_a_superseded_fact",
    ),
    Mutation(
        "an undo is served without its trial",
        "guardedit/agent/reversal.py",
        "    if plan.edits and not _served_before(parts, plan.edits):\n",
        "    if False:\n",
        f"{AGENT}/test_reversal.py::test_an_undo_is_tried",
    ),
    Mutation(
        "a retraction is served without its trial",
        "guardedit/agent/trial.py",
        "            return {}, self._measurable(judge_removal(self.parts, self.setup))\n",
        "            return {}, Verdict(outcome=Outcome.ACCEPT)\n",
        f"{AGENT}/test_reversal.py::test_a_retraction_of_a_fact_in_the_weights_is_tried",
    ),
    Mutation(
        "an edit that is rejected alone is accepted",
        "guardedit/agent/trial.py",
        f"{REJECTED}            self._fail(edit, HARM, verdict.reason)\n",
        f"{REJECTED}            return edit\n",
        f"{AGENT}/test_trial.py::test_an_edit_that_is_rejected_alone_is_harmful",
    ),
    Mutation(
        "an inconclusive edit is harmful",
        "guardedit/agent/trial.py",
        f"{REJECTED}            self._fail(edit, HARM, verdict.reason)\n",
        "        if True:\n            self._fail(edit, HARM, verdict.reason)\n",
        f"{AGENT}/test_trial.py::test_an_edit_that_is_inconclusive_alone_is_undecided_and_not_harmful",
    ),
    Mutation(
        "expiry is ignored by the loop",
        "guardedit/agent/live.py",
        "for key, fact in live.items() if fact.expired(now_s)]\n",
        "for key, fact in live.items() if False]\n",
        f"{AGENT}/test_live.py::test_an_expired_fact_is_removed",
    ),
    Mutation(
        "expiry is ignored by the reader",
        "guardedit/memory/expiry.py",
        "        if now_s is None or now_s < self._first_visible_until_s:\n",
        "        if True:\n",
        "tests/unit/serving/test_replica.py::"
        "test_an_expired_fact_neither_answers_nor_hides_by_the_replicas_clock",
    ),
    Mutation(
        "the link to the previous event is not checked",
        "guardedit/ledger/storage/chain.py",
        "        elif row.prev_hash != prev_hash:\n",
        "        elif False:\n",
        f"{LEDGER}/test_verify.py",
    ),
    Mutation(
        "a forged event is accepted",
        "guardedit/ledger/storage/chain.py",
        "        if row.hash != event_hash(\n",
        "        if False and row.hash != event_hash(\n",
        f"{LEDGER}/test_verify.py",
    ),
    Mutation(
        "a blob is not fsynced",
        "guardedit/ledger/storage/blobs.py",
        "            os.fsync(file.fileno())\n",
        "            pass\n",
        f"{LEDGER}/test_durability.py",
    ),
    Mutation(
        "a blob's folder is not fsynced",
        "guardedit/ledger/storage/blobs.py",
        'failpoint("blob.dirsync")\n                sync_folder(folder)\n',
        'failpoint("blob.dirsync")\n',
        f"{LEDGER}/test_durability.py",
    ),
    Mutation(
        "a replica ignores the hash of the weights",
        "guardedit/serving/replica.py",
        "        if epoch.number and found != epoch.weights_sha256:\n",
        "        if False:\n",
        "tests/unit/serving/test_replica.py::"
        "test_weights_that_are_not_the_epochs_are_refused_and_the_old_epoch_goes_on",
    ),
    Mutation(
        "the dead-letter gauge counts dropped letters",
        "guardedit/ledger/counts.py",
        "WHERE fate = 'dead_lettered' AND NOT dropped",
        "WHERE fate = 'dead_lettered'",
        "tests/integration/test_scrape.py",
    ),
    Mutation(
        "an operator's rollback does not last",
        "guardedit/agent/kept.py",
        '    if body["kind"] == "rollback" and not',
        '    if False and body["kind"] == "rollback" and not',
        f"{AGENT}/test_reversal.py::test_an_operators_rollback_lasts_until_the_fact_is_released",
    ),
    Mutation(
        "a fact that was removed during its trial is promoted",
        "guardedit/agent/promotion.py",
        "    return now is not None and now.id == fact.id\n",
        "    return True\n",
        f"{AGENT}/test_promotion.py::test_only_the_fact_that_was_removed_during_its_trial_is_left_out",
    ),
    Mutation(
        "an epoch of another process is not watched",
        "guardedit/agent/watching.py",
        '            state.measured = body["number"] == 0\n',
        "            state.measured = True\n",
        f"{AGENT}/test_watching.py::test_an_epoch_of_another_process_is_watched_at_the_next_turn",
    ),
    Mutation(
        "content seen before is always a duplicate",
        "guardedit/agent/deciding.py",
        "(last is None or last.correction_id in family):\n",
        "True:\n",
        f"{AGENT}/test_decider.py::test_content_without_an_id_is_new_again_after_another_version",
    ),
    Mutation(
        "an older report wins",
        "guardedit/agent/deciding.py",
        "        if reported_s < last.reported_at_s:\n",
        "        if False:\n",
        f"{AGENT}/test_decider.py::test_an_older_report_loses_unless_the_policy_lets_the_last_arrival_win",
    ),
    Mutation(
        "half a proposal is remembered",
        "guardedit/agent/proposing.py",
        "        if edit is None:\n            return None\n",
        "        if edit is None:\n            continue\n",
        f"{AGENT}/test_proposing.py",
    ),
    Mutation(
        "a fact in memory that was never answered right counts as harm",
        "guardedit/guard/answer_counts.py",
        "counted = [q for q in questions if q.expected is None or says_expected(reference, q)]",
        "counted = list(questions)",
        "tests/unit/guard/test_judge.py",
    ),
)


def main(names: list[str]) -> int:
    """Run the mutations whose name holds one of `names`, or all."""
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for mutation in chosen:
            verdict = _tried(mutation, copy)
            survived += verdict != "killed"
            print(f"{verdict:<9} {mutation.name:<62} {mutation.test}", flush=True)  # noqa: T201 - the result
    print(f"{len(chosen) - survived} of {len(chosen)} killed")  # noqa: T201 - as above
    return int(survived > 0)


def _tried(mutation: Mutation, copy: Path) -> str:
    path = copy / mutation.file
    whole = path.read_text("utf-8")
    if whole.count(mutation.old) != 1:
        return "NO TEXT"
    if not _passes(mutation.test, copy):
        return "BROKEN"
    path.write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        return "SURVIVED" if _passes(mutation.test, copy) else "killed"
    finally:
        path.write_text(whole, encoding="utf-8")


def _passes(test: str, copy: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", test]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    return (
        subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False).returncode == 0
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
