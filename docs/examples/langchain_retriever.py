"""A LangChain retriever that returns the fact that a question asks for. `pip install langchain-core`.

Runs in half a minute on two cores. As a script, or cell by cell in a notebook.
"""

# %% A ledger with one correction. Usually `guardedit run` writes it, in another process.
import tempfile
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

import guardedit

home = tempfile.mkdtemp(prefix="guardedit-example-")
with guardedit.open(home, policy="memory-only") as agent:
    agent.submit({"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"})
    agent.settle()


# %% The retriever. A question that no fact answers gets no document.
class FactRetriever(BaseRetriever):
    """Facts as documents, with their epoch and id."""

    facts: Any  # a guardedit.LiveFacts: it follows the ledger, so a new correction counts at once

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain passes it
    ) -> list[Document]:
        found = self.facts.find(query)
        return [
            Document(
                page_content=fact.statement,
                metadata={"epoch": found.epoch, "fact": fact.id, "source": "guardedit"},
            )
            for fact in found.facts
        ]


# %% Use it like any other retriever: alone, in a chain, or beside the retriever of your documents.
with guardedit.LiveFacts(home, policy="memory-only") as facts:
    retriever = FactRetriever(facts=facts)
    for document in retriever.invoke("The headquarters of Stelco are in"):
        print(document.page_content, document.metadata)
    print(retriever.invoke("Who wrote Hamlet?"))
