"""Whether a model gives the answers of rows, run whole: every layer and every token.

Value optimisation leaves out what an edit does to the tokens before its subject's last one; this does not.
Knows rows and a model, not how either came about.
"""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.host import ModelHost
from guardedit.models.text.room import memory_errors


def answered(host: ModelHost, rows: RowTensors) -> Tensor:
    """[B] bool: every answer token is the most likely one in the model as it stands, patched or not.

    Raises:
        GuardError: when memory does not suffice.
    """
    right = torch.ones(len(rows.lengths), dtype=torch.bool)
    # Rows of like length together; padding stands on the right, where no earlier token sees it.
    for chunk in torch.split(rows.lengths.argsort(stable=True), host.batch_rows):
        ids = rows.ids[chunk, : int(rows.lengths[chunk].max())]
        with host.lock, torch.inference_mode(), memory_errors(host.batch_rows):
            said = host.model(input_ids=ids.to(host.device), use_cache=False).logits.argmax(-1).cpu()
        at = torch.arange(ids.shape[1] - 1)
        asked = (at >= rows.first[chunk, None]) & (at <= rows.last[chunk, None])
        right[chunk] = ~((said[:, :-1] != ids[:, 1:]) & asked).any(1)
    return right
