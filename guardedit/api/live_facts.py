"""`guardedit.LiveFacts`: the facts of a ledger for programs that put them beside a question themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from guardedit.api.questions import refuse_unusable
from guardedit.gateway.conversation import AskedQuestion
from guardedit.gateway.facts import FoundFacts, facts_for, open_facts
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, policy_file


class LiveFacts:
    """The live facts of a ledger, which another process may write, found by the questions that ask for them.

    It follows the ledger until it is closed. No language model is loaded. A context manager; thread-safe.

    Args:
        home: folder of the ledger.
        policy: policy file, or the name of a shipped one; default: from GUARDEDIT_POLICY, else `default`.
        tenant: whose facts are found, besides those of the tenant `default`.

    Raises:
        PolicyError: the policy cannot be used.

    >>> with guardedit.LiveFacts("runs/x") as facts:  # doctest: +SKIP
    ...     facts.find("The headquarters of Stelco are in").fact.statement
    'The headquarters of Stelco are in Hamilton.'
    """

    def __init__(
        self,
        home: str | os.PathLike[str],
        *,
        policy: str | os.PathLike[str] | None = None,
        tenant: str = "default",
    ) -> None:
        settings = replace(Settings.from_environment(os.environ), home=Path(home))
        if policy is not None:
            settings = replace(settings, policy=policy_file(os.fspath(policy)))
        self._tenant = tenant
        with ExitStack() as opened:
            self._facts = opened.enter_context(open_facts(settings, load_policy(settings.policy)))
            self._opened = opened.pop_all()

    @property
    def epoch(self) -> int:
        """The epoch whose facts are found."""
        return self._facts.replica.epoch() or 0

    @property
    def problem(self) -> str:
        """Why the facts may be older than the ledger's; "" if they are not."""
        return self._facts.follower.problem

    def find(self, question: str, *, earlier: Sequence[str] = ()) -> FoundFacts:
        """The facts that a question asks for, and the epoch that says so.

        Args:
            question: the question or the beginning of a sentence.
            earlier: what was asked before it in the same conversation, in that order: its subjects may stand
                for a pronoun of the question.

        Raises:
            MalformedCorrection: the question is not a text in valid Unicode.
        """
        for text in (question, *earlier):
            refuse_unusable(text)
        return facts_for(
            self._facts.replica, AskedQuestion(question, tuple(reversed(earlier))), tenant=self._tenant
        )

    def close(self) -> None:
        """Stop following the ledger. Safe to call twice."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
