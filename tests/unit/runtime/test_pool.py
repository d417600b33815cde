from __future__ import annotations

import pytest

from guardedit.core.errors import EditError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Measurement, Probes, Question, QuestionKind
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.runtime.pool import WorkerPool


class RecordingWorker:
    """Records its subjects and texts, and returns numbers that depend on them."""

    base_sha256 = "base"

    def __init__(self):
        self.subjects, self.texts = [], []

    def propose(self, method, groups, live):
        if method == "broken":
            raise EditError("no such method")
        self.subjects += [group.subject for group in groups]
        edits = [
            WeightEdit(subject=g.subject, facts=(g.facts[0].id,), method=method, payload=b"x")
            for g in groups
            if g.subject != "refused"
        ]
        refused = {g.facts[0].id: "why" for g in groups if g.subject == "refused"}
        return Proposal(method=method, edits=tuple(edits), refused=refused, seconds=1.0)

    def measure(self, edits, probes):
        self.texts += probes.texts
        return Measurement(
            weights_sha256="w",
            logprobs=tuple((float(len(text)),) for text in probes.texts),
            answers={q.prompt: q.prompt.upper() for q in probes.questions},
        )


def group(subject: str) -> SubjectGroup:
    fact = Fact(key=FactKey(subject, "r"), version=1, correction_id=subject, wordings=("w",), target="t")
    return SubjectGroup(subject=subject, facts=(fact,))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_work_is_split_and_merged_in_order(count):
    workers = [RecordingWorker() for _ in range(count)]
    pool = WorkerPool(workers)
    groups = [group(name) for name in ("a", "b", "refused", "c", "d")]
    proposal = pool.propose("ridge", groups, ())
    assert [edit.subject for edit in proposal.edits] == ["a", "b", "c", "d"]
    assert list(proposal.refused.values()) == ["why"]
    assert sorted(s for w in workers for s in w.subjects) == ["a", "b", "c", "d", "refused"]

    texts = ("x", "xx", "xxx", "xxxx")
    questions = tuple(Question(prompt=p, kind=QuestionKind.EARLIER) for p in ("p", "q", "p"))
    found = pool.measure((), Probes(texts=texts, questions=questions))
    assert found.logprobs == ((1.0,), (2.0,), (3.0,), (4.0,))
    assert found.answers == {"p": "P", "q": "Q"}
    assert sorted(t for w in workers for t in w.texts) == sorted(texts)


def test_an_error_of_a_worker_is_raised_by_the_pool():
    with pytest.raises(EditError, match="no such method"):
        WorkerPool([RecordingWorker(), RecordingWorker()]).propose("broken", [group("a"), group("b")], ())
