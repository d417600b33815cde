"""A LlamaIndex retriever that returns the fact that a question asks for. `pip install llama-index-core`.

Runs in half a minute on two cores. As a script, or cell by cell in a notebook.
"""

# %% A ledger with one correction. Usually `guardedit run` writes it, in another process.
import tempfile

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

import guardedit

home = tempfile.mkdtemp(prefix="guardedit-example-")
with guardedit.open(home, policy="memory-only") as agent:
    agent.submit({"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"})
    agent.settle()


# %% The retriever. A question that no fact answers gets no node.
class FactRetriever(BaseRetriever):
    """Facts as nodes, with their epoch and id."""

    def __init__(self, facts: guardedit.LiveFacts) -> None:
        self._facts = facts  # it follows the ledger, so a new correction counts at once
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._facts.find(query_bundle.query_str)
        nodes = [
            TextNode(
                id_=fact.id,
                text=fact.statement,
                metadata={"epoch": found.epoch, "fact": fact.id, "source": "guardedit"},
            )
            for fact in found.facts
        ]
        return [NodeWithScore(node=node, score=1.0) for node in nodes]  # a fact is in scope or not


# %% Use it like any other retriever: alone, in a query engine, or beside the retriever of your documents.
with guardedit.LiveFacts(home, policy="memory-only") as facts:
    retriever = FactRetriever(facts)
    for found in retriever.retrieve("The headquarters of Stelco are in"):
        print(found.text, found.metadata)
    print(retriever.retrieve("Who wrote Hamlet?"))
