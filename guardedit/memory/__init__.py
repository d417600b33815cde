"""The retrieval memory: texts to vectors, vectors to facts, and whether a question is about a fact.

Uses the sentence encoder and FAISS. Independent of the ledger, of weights and of text generation.
"""

from __future__ import annotations

from guardedit.memory.context import with_fact
from guardedit.memory.encoder import Encoder, SentenceEncoder
from guardedit.memory.fact_sets import facts_sha256
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory

__all__ = [
    "Encoder",
    "RetrievalMemory",
    "ScopeThresholds",
    "SentenceEncoder",
    "facts_sha256",
    "with_fact",
]
