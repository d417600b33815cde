"""The network of the judge: some layers of the MiniLM encoder over "question [SEP] fact", and a linear head.

A cross-encoder reads both texts at once, so it sees that "When did X die?" and "X died in Turin" differ in
the one word that matters. A cosine of two sentence vectors hardly does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.memory.encoder import no_progress_bars

#: Longest pair, in tokens. A longer one loses the end of its longer text.
MAX_TOKENS = 128
#: Pairs that are computed together.
BATCH = 32


class ScopeNetwork(nn.Module):
    """One logit for each pair of question and fact; above 0, the fact probably answers the question.

    The embeddings stay those of the sentence encoder, so only the layers and the head are trained and stored.
    """

    def __init__(self, folder: Path, layers: int) -> None:
        """Start from the lowest layers of the BERT model in `folder`."""
        from transformers import AutoModel, AutoTokenizer

        super().__init__()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        with no_progress_bars():
            body: Any = AutoModel.from_pretrained(folder)
        self.embeddings: Any = body.embeddings.requires_grad_(requires_grad=False)
        self.layers: Any = body.encoder.layer[:layers]
        self.head = nn.Linear(body.config.hidden_size, 1)

    def forward(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """(n,) logits of n pairs (question, fact)."""
        rows = self._tokenizer(
            [question for question, _ in pairs],
            [fact for _, fact in pairs],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        mask = rows["attention_mask"]
        hidden = self.embeddings(input_ids=rows["input_ids"], token_type_ids=rows["token_type_ids"])
        for layer in self.layers:
            out = layer(hidden, attention_mask=mask[:, None, None, :].bool())
            hidden = out[0] if isinstance(out, tuple) else out
        weight = mask[..., None].to(hidden.dtype)
        logits: Tensor = self.head((hidden * weight).sum(1) / weight.sum(1))
        return logits[:, 0]

    @torch.inference_mode()
    def logits(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """(n,) float32 logits, computed in batches of pairs of similar length."""
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        found = torch.empty(len(pairs))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            found[rows] = self([pairs[i] for i in rows]).float()
        return found

    def trained(self) -> dict[str, Tensor]:
        """The tensors that training changes."""
        return {
            name: tensor for name, tensor in self.state_dict().items() if not name.startswith("embeddings.")
        }
