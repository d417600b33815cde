"""Decides about a correction by a policy. Pure and total: no clock, no state, never an exception.

1. A correction that has already expired is rejected. So is a fact about a reserved word, unless the policy
   holds or allows such facts (`subjects.reserved`, and `subjects.mixed_alphabets` for names that mix them).
2. The first rule that fires decides. A condition that has no value holds the correction: fail closed.
3. A retraction whose rule has route memory or weights goes to memory, where facts are removed.
4. A fact that is not valid yet, that contradicts a live fact by a declared inverse relation, that mentions
   too many names, or that would exceed a name's quota is held.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from guardedit.core.correction import Correction, Op
from guardedit.core.decision import Decision, Route, RuleTrace
from guardedit.core.errors import PolicyError
from guardedit.naming import identity
from guardedit.policy.reserved import why_mixed, why_reserved
from guardedit.policy.schema import Match, Policy, Rule
from guardedit.policy.variables import DecisionContext, reached, read_variables

__all__ = ["DecisionContext", "decide"]


def decide(policy: Policy, correction: Correction, context: DecisionContext) -> Decision:
    """The decision about one correction, with a trace of every rule that was evaluated."""
    return replace(_decide(policy, correction, context), signed_by=context.signed_by)


def _decide(policy: Policy, correction: Correction, context: DecisionContext) -> Decision:
    until_s = correction.valid_until_s
    if until_s is not None and until_s <= context.now_s:
        late_s = context.now_s - until_s
        return _built_in(policy, (), Route.REJECT, "expired", f"expired {late_s:.0f} s ago")
    reserved = _reserved(policy, correction)
    if reserved and policy.subjects.reserved == "reject":
        return _built_in(policy, (), Route.REJECT, "reserved-subject", reserved)
    mixed = _mixed_alphabets(policy, correction)
    if mixed and policy.subjects.mixed_alphabets == "reject":
        return _built_in(policy, (), Route.REJECT, "mixed-alphabets", mixed)
    values = read_variables(correction, context)
    trace: list[RuleTrace] = []
    for rule in policy.rules:
        try:
            fired, because = _fires(rule, correction, values)
        except PolicyError as error:
            trace.append(RuleTrace(rule=rule.id, matched=True, because=str(error)))
            reason = f"held, since its condition {error}"
            held = _decision(policy, trace, route=Route.HOLD, rule=rule.id, reason=reason)
            return _strictly_held(policy, held)
        trace.append(RuleTrace(rule=rule.id, matched=fired, because=because))
        if fired:
            return _decide_by(policy, rule, correction, context, trace)
    # Only for a policy built without validation: the schema requires a default rule.
    return _decision(policy, trace, route=Route.HOLD, rule="", reason="no rule fired")


def _fires(rule: Rule, correction: Correction, values: dict[str, object]) -> tuple[bool, str]:
    """Whether the rule fires, and why or why not. Raises PolicyError when its condition has no value."""
    because = []
    if rule.match is not None:
        fits, text = _matches(rule.match, correction)
        if not fits:
            return False, text
        because.append(text)
    if rule.when is not None:
        holds = rule.when.holds(values)
        because.append(f"`{rule.when.text.strip()}` is {str(holds).lower()}")
        return holds, "; ".join(because)
    return True, "; ".join(because) or "no condition"


def _matches(match: Match, correction: Correction) -> tuple[bool, str]:
    values = {
        "relation": (correction.relation,),
        "source": (correction.provenance.source,),
        "tenant": (correction.tenant,),
        "tag": correction.tags,
        "subject": (correction.subject,),
        "op": (correction.op.value,),
    }
    because = []
    for key, globs in match.given.items():
        shown = ", ".join(repr(value) for value in values[key]) or "none"
        hit = next((g for g in globs for value in values[key] if fnmatchcase(value, g)), None)
        if hit is None:
            wanted = " or ".join(globs[:3]) + (" or others" if len(globs) > 3 else "")
            return False, f"{key} {shown} is not {wanted}"
        because.append(f"{key} {shown} is {hit}")
    return True, "; ".join(because)


def _decide_by(
    policy: Policy, rule: Rule, correction: Correction, context: DecisionContext, trace: list[RuleTrace]
) -> Decision:
    """The decision by a rule that fired, unless a built-in rule overrides it."""
    route = Route(rule.route)
    if route in (Route.HOLD, Route.REJECT):
        made = _decision(policy, trace, route=route, rule=rule.id, reason=rule.why)
        return replace(
            made,
            approvals=rule.approvals or 1,
            approvers=rule.approvers or (),
            approval_ttl_s=rule.approval_ttl_s,
        )
    if correction.op is Op.RETRACT:
        reason = f"a retraction takes effect at once; rule {rule.id} allows it"
        return _built_in(policy, trace, Route.MEMORY, "retract", reason)
    from_s = correction.valid_from_s
    if from_s is not None and from_s > context.now_s:
        reason = f"valid only in {from_s - context.now_s:.0f} s"
        return _built_in(policy, trace, Route.HOLD, "not-yet-valid", reason)
    for rule_id, why in (
        ("reserved-subject", _reserved(policy, correction)),
        ("inverse", context.contradiction),
        ("mixed-alphabets", _mixed_alphabets(policy, correction)),
        ("reach", _mentions_too_many(policy, correction, context)),
        ("quota", _over_quota(policy, context)),
    ):
        if why:
            return _built_in(policy, trace, Route.HOLD, rule_id, why)
    method = (rule.method or policy.editing.method) if route is Route.WEIGHTS else ""
    return _decision(policy, trace, route=route, rule=rule.id, reason=rule.why, method=method)


def _strictly_held(policy: Policy, held: Decision) -> Decision:
    """A correction that a broken condition holds needs what all rules that hold ask for together.

    Which of the later rules would have fired is not known, and a release passes all of them. So as many have
    to approve as any of them asks for, out of those whom all lists name. If these are too few, the shortest
    list with enough names counts; if none has enough, the shortest list, and all whom it names.
    """
    needed = max(rule.approvals or 1 for rule in policy.rules)
    named = sorted((rule.approvers for rule in policy.rules if rule.approvers is not None), key=len)
    in_all = tuple(by for by in named[0] if all(by in one for one in named)) if named else ()
    who = next((one for one in (in_all, *named) if len(set(one)) >= needed), named[0] if named else ())
    return replace(
        held,
        approvals=min(needed, len(set(who))) if who else needed,
        approvers=who,
        approval_ttl_s=min((r.approval_ttl_s for r in policy.rules if r.approval_ttl_s), default=None),
    )


def _reserved(policy: Policy, correction: Correction) -> str:
    """Why the subject or an alias is reserved; "" if none is.

    A retraction only removes such a fact, so it may name one.
    """
    subjects = policy.subjects
    if subjects.reserved == "allow" or correction.op is Op.RETRACT:
        return ""
    for kind, name in (("subject", correction.subject), *(("alias", name) for name in correction.aliases)):
        if why := why_reserved(name, subjects.words):
            return f"the {kind} {name!r:.80} {why}: name the thing in full, or set subjects.reserved"
    return ""


def _mixed_alphabets(policy: Policy, correction: Correction) -> str:
    """Why the subject or an alias may be taken for another name; "" if not, and for a retraction."""
    if policy.subjects.mixed_alphabets == "allow" or correction.op is Op.RETRACT:
        return ""
    for kind, name in (("subject", correction.subject), *(("alias", name) for name in correction.aliases)):
        if why := why_mixed(name):
            escaped = name.encode("unicode_escape").decode()
            return f"the {kind} {name!r:.80} ({escaped:.80}) {why}: it may look like another name"
    return ""


def _mentions_too_many(policy: Policy, correction: Correction, context: DecisionContext) -> str:
    limit = policy.quota.names_per_correction
    if limit is None:
        return ""
    own = set(
        map(identity, correction.aliases)
    )  # other names of the subject, which have a limit of their own
    others = [name for name in reached(correction, context)[1:] if name not in own]
    if len(others) <= limit:
        return ""
    shown = ", ".join(repr(name) for name in others[:8]) + (", ..." if len(others) > 8 else "")
    return f"the wordings mention {len(others)} other names, the limit is {limit}: {shown:.400}"


def _over_quota(policy: Policy, context: DecisionContext) -> str:
    quota, count = policy.quota.subject_edits_per_day, context.subject_edits_24h
    if quota is None or count < quota:
        return ""
    return f"{count} corrections reached one of its names in 24 h, the quota is {quota}"


def _built_in(
    policy: Policy, trace: list[RuleTrace] | tuple[()], route: Route, rule: str, reason: str
) -> Decision:
    steps = [*trace, RuleTrace(rule=rule, matched=True, because=reason)]
    return _decision(policy, steps, route=route, rule=rule, reason=reason)


def _decision(
    policy: Policy, trace: list[RuleTrace], *, route: Route, rule: str, reason: str, method: str = ""
) -> Decision:
    return Decision(
        route=route,
        rule=rule,
        reason=reason,
        policy_sha256=policy.sha256,
        method=method,
        trace=tuple(trace),
    )
