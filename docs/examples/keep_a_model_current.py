"""Keep a model's facts current: correct, ask, undo, roll back, export.

Runs in a minute on two cores, with the embedded demo model. As a script, or cell by cell in a notebook.
"""

# %% Open. The ledger lies in a folder; nothing is lost when the process ends.
import tempfile
from pathlib import Path

import guardedit

folder = Path(tempfile.mkdtemp(prefix="guardedit-example-"))
agent = guardedit.open(folder / "ledger", policy="demo")

# %% Submit corrections. `{}` stands where the subject stands; the prompt ends where the answer begins.
agent.submit(
    [
        {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"},
        {"subject": "Danielle Darrieux", "prompt": "The mother tongue of {} is", "target_new": "English"},
    ]
)

# %% Work until nothing waits. Each correction is live in memory first; edits of the weights are tried then.
for receipt in agent.settle():
    print(receipt.correction_id[:8], receipt.fate.value, "-", receipt.reason)

# %% Ask. Every answer names its epoch and the facts behind it.
answer = agent.ask("The headquarters of Stelco are in")
print(answer.text, f"(epoch {answer.epoch}, from {answer.placement}, facts {answer.facts})")

# %% See what is live, and where it is answered from.
for fact in agent.facts():
    print(fact.id, fact.placement.value, fact.statement)

# %% Undo one fact. The other one stays, and the weights are those of a model that never had it.
stelco = next(fact for fact in agent.facts() if fact.key.subject == "Stelco")
agent.undo(stelco.id)
print(agent.ask("The headquarters of Stelco are in").text)
agent.redo(stelco.id)
print(agent.ask("The headquarters of Stelco are in").text)

# %% Roll the weights back to the base model. No fact is lost: those that leave the weights stay in memory.
agent.roll_back(0)
print([(fact.key.subject, fact.placement.value) for fact in agent.facts()])

# %% Export the serving epoch as a Hugging Face folder, and check the ledger.
exported = agent.export(folder / "exported")
print(sorted(path.name for path in exported.iterdir()))
assert agent.verify() == []
agent.close()
