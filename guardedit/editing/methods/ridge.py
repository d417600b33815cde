"""Ridge: one edit for each subject, solved together with all live edits by the fold.

The method is MEMIT with history in one layer, with averaged keys everywhere as in r-ROME, and with one edit
for all facts of a subject as in MEMIT-Merge. Keys and values belong to the base model, so an edit does not
depend on other live edits, and undoing it means leaving it out of the fold.

Values are optimised through the solve: during the optimisation, each position gets the share of the change
that the edit alone would write there. So a wording whose key is far from the mean key is optimised with the
smaller share that it will really get.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.cache import EditCache, RecentEdits
from guardedit.editing.locate.editable import merged_by_subject
from guardedit.editing.locate.solution import Solution, solve_subjects
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import Contexts, served_contexts
from guardedit.editing.optimise.rows import fact_rows, row_tensors
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.ridge import Ridge

#: Subjects optimised at the same time; bounds memory.
SUBJECTS_AT_ONCE = 32


class RidgeEditor:
    """Proposes ridge edits of one layer of a base model.

    Args:
        setup: the base model and its layer; `background_weight` and `ridge` must be those of the fold.
        contexts: prefixes of the prompts; default: `settings.contexts` of them, sampled from the model.
        cache: cache of finished edits; default: one in memory.
        anchor_norm: typical norm of an edited value (function `anchor_norm`); NaN switches the limit on it
            off.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "ridge"
    card = MethodCard(
        family="locate-then-edit",
        paper="MEMIT with history: Meng et al. 2023, arXiv:2210.07229; keys of r-ROME, arXiv:2403.07175",
        stores="key and residual of one layer",
        undo="exact",
        batch="together",
        reads_live=False,
        deviations=(
            "values are optimised through the solve, with the subject's other answers preserved",
            "keys and values belong to the base model",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        cache: EditCache | None = None,
        anchor_norm: float = math.nan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        host, settings, moments = setup.host, setup.settings, setup.moments[setup.layer]
        self.contexts = contexts or served_contexts(
            host, count=settings.contexts, seed=setup.seed, ends_answer=settings.ends_answer
        )
        self._host, self._layer, self._settings = host, moments.layer, settings
        self._ridge = Ridge(
            C=moments.C,
            spectrum=moments.spectrum,
            background_weight=settings.background_weight,
            ridge=settings.ridge,
        )
        self._cache = RecentEdits() if cache is None else cache
        self._anchor_norm, self._clock = anchor_norm, clock
        site = [host.base_sha256, moments.layer, moments.sha256, self.contexts.sha256, settings.sha256]
        self._site = json.dumps(site)

    @classmethod
    def build(cls, setup: Setup) -> RidgeEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def content_key(self, group: SubjectGroup) -> str:
        """Digest of everything that the group's edit depends on."""
        facts = sorted((fact.id, fact.wordings, fact.target) for fact in group.facts)
        keep = sorted((q.prompt, q.expected or "") for q in group.keep)
        body = json.dumps([self._site, group.subject, facts, keep])
        return hashlib.sha256(body.encode()).hexdigest()

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each subject, made on the base model; `live` is not used.

        A fact is refused when none of its wordings contains the subject, when one of its rows cannot be
        encoded, when its answer is not reached, or when the value is not finite or longer than `anchor_ratio`
        times the anchor norm.
        """
        del live
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        with self._host.lock:
            usable = [self._usable(group, refused) for group in merged_by_subject(groups)]
            waiting = [group for group in usable if group.facts]
            for at in range(0, len(waiting), SUBJECTS_AT_ONCE):
                edits += self._edits(waiting[at : at + SUBJECTS_AT_ONCE], refused)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _usable(self, group: SubjectGroup, refused: dict[str, str]) -> SubjectGroup:
        """The group without facts that cannot be edited, and without questions about its own facts."""
        facts = []
        for fact in group.facts:
            reason = self._unfit(fact, group.subject)
            if reason:
                refused[fact.id] = reason
            else:
                facts.append(fact)
        changed = {wording for fact in group.facts for wording in fact.wordings}
        keep = tuple(question for question in group.keep if question.prompt not in changed)
        return replace(group, facts=tuple(facts), keep=keep)

    def _unfit(self, fact: Fact, subject: str) -> str:
        rows = fact_rows(0, fact, subject, self.contexts)
        if not rows:
            return f"no wording contains the subject {subject!r}"
        try:
            row_tensors(self._host.tokenizer, rows, context=self._host.context)
        except CorrectionError as error:
            return str(error)
        return ""

    def _edits(self, groups: Sequence[SubjectGroup], refused: dict[str, str]) -> list[WeightEdit]:
        """Cached and new edits; subjects with facts that are not reached are solved again without them."""
        known = {group.subject: self._cache.get(self.content_key(group)) for group in groups}
        missing = [group for group in groups if known[group.subject] is None]
        again = []
        for group, solution in self._solve(missing, refused):
            failed = [f for f in group.facts if solution.reached[f.id] < self._settings.least_reached]
            for fact in failed:
                refused[fact.id] = f"target {fact.target!r} is not reached in {solution.steps} steps"
            if not failed:
                known[group.subject] = self._accepted(group, solution, refused)
            elif len(failed) < len(group.facts):
                again.append(replace(group, facts=tuple(f for f in group.facts if f not in failed)))
        # Each round leaves out at least one fact, so this ends.
        rest = self._edits(again, refused) if again else []
        return [*(edit for edit in known.values() if edit is not None), *rest]

    def _solve(
        self, groups: Sequence[SubjectGroup], refused: dict[str, str]
    ) -> list[tuple[SubjectGroup, Solution]]:
        """Groups and their solutions. A batch that diverges is halved, down to the subject that fails."""
        if not groups:
            return []
        try:
            found = solve_subjects(
                self._host,
                self._layer,
                groups,
                ridge=self._ridge,
                contexts=self.contexts,
                settings=self._settings,
            )
        except (EditDiverged, CorrectionError) as error:
            if len(groups) == 1:
                refused.update({fact.id: str(error) for fact in groups[0].facts})
                return []
            half = len(groups) // 2
            return [*self._solve(groups[:half], refused), *self._solve(groups[half:], refused)]
        return list(zip(groups, found, strict=True))

    def _accepted(
        self, group: SubjectGroup, solution: Solution, refused: dict[str, str]
    ) -> WeightEdit | None:
        """The edit, now cached; None when the value is too long or not finite."""
        norm = float((solution.value + solution.change).norm())
        limit = self._settings.anchor_ratio * self._anchor_norm
        if not math.isfinite(norm) or norm > limit:
            reason = (
                f"value norm {norm:.3g} exceeds {limit:.3g}, {self._settings.anchor_ratio} x the anchor norm"
            )
            refused.update({fact.id: reason for fact in group.facts})
            return None
        residual = solution.change / solution.own_share
        factors = Factors.ridge(layer=self._layer, key=solution.key, residual=residual)
        edit = WeightEdit(
            subject=group.subject,
            facts=tuple(sorted(fact.id for fact in group.facts)),
            method=self.name,
            payload=to_payload(factors),
            diagnostics=diagnostics(solution),
        )
        self._cache.put(self.content_key(group), edit)
        return edit


def diagnostics(solution: Solution) -> dict[str, float]:
    """Numbers for the ledger; norms are Euclidean, ratios are relative to ||v0||."""
    scale = float(solution.value.norm())
    return {
        "key_norm": float(solution.key.norm()),
        "value_norm": float((solution.value + solution.change).norm()),
        "change_ratio": float(solution.change.norm()) / scale if scale else math.nan,
        "arrives": solution.own_share,
        "steps": float(solution.steps),
        "hardest": solution.hardest,
        "kept": solution.kept,
        "kept_kl_nats": solution.kept_kl_nats,
    }


def anchor_norm(edits: Sequence[WeightEdit]) -> float:
    """Median norm of the values of some pilot edits (NAS, step 1); NaN without edits."""
    norms = sorted(edit.diagnostics["value_norm"] for edit in edits)
    return norms[len(norms) // 2] if norms else math.nan
