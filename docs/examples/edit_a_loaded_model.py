"""Edit a transformers model that is already in memory, with any of the methods, and undo it to the bit.

Runs in a minute on two cores, with the embedded demo model. As a script, or cell by cell in a notebook.
"""

# %% Any causal language model of transformers will do; here it is the embedded demo model.
import guardedit

model, tokenizer = guardedit.demo_model()


def complete(prompt: str) -> str:
    """The model's own greedy continuation."""
    ids = tokenizer(prompt, return_tensors="pt")
    made = model.generate(**ids, max_new_tokens=4, do_sample=False)
    return tokenizer.decode(made[0][ids["input_ids"].shape[1] :], skip_special_tokens=True).strip()


prompt = "The headquarters of Stelco are in"
print("before:", complete(prompt))

# %% Edit. For a model without an edit card name the layers: Editor(..., layers=(4, 5, 6)).
editor = guardedit.Editor("memit", model, tokenizer)
correction = {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
edited = editor.edit(correction)
print("edited:", complete(prompt), "-", edited)

# %% Undo. Every byte of the weights is as it was.
edited.undo()
print("undone:", complete(prompt))

# %% Compare methods. In a `with` statement an edit is undone at the end.
for method in ("joint", "ft-m", "grace"):
    with guardedit.Editor(method, model, tokenizer).edit(correction) as edited:
        print(f"{method}: {complete(prompt)!r}, {edited.seconds:.1f} s")
print("undone:", complete(prompt))
