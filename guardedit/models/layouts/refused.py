"""Refuses kinds of models that are not edited, by their configuration, before weights are loaded."""

from __future__ import annotations

from typing import Any

from guardedit.core.errors import UnknownLayout

#: How configurations call the number of experts of a layer.
EXPERTS = (
    "num_experts", "num_local_experts", "n_routed_experts", "num_routed_experts", "moe_num_experts",
    "expert_count",
)  # fmt: skip
#: Configurations of the parts of a model that do not read text.
OTHER_SENSES = ("vision_config", "audio_config", "speech_config", "vision_tower_config", "image_token_id")


def refuse_unfit(config: Any) -> None:
    """Check that a configuration is of a kind of model that can be edited.

    Raises:
        UnknownLayout: it is a mixture of experts, multimodal, or has an encoder.
    """
    kind = type(config).__name__
    if senses := [name for name in OTHER_SENSES if getattr(config, name, None) is not None]:
        raise UnknownLayout(
            f"{kind} is a multimodal model ({senses[0]}): guardedit edits text models only; "
            "use the text-only version of this model"
        )
    parts = [config, getattr(config, "text_config", None), getattr(config, "ffn_config", None)]
    for part in parts:
        for name in EXPERTS:
            count = getattr(part, name, None)
            if isinstance(count, int) and count > 1:
                raise UnknownLayout(
                    f"{kind} is a mixture of experts ({name} = {count}): a fact has no single matrix in it, "
                    "so guardedit cannot edit it; use a dense model"
                )
    if getattr(config, "is_encoder_decoder", False):
        raise UnknownLayout(f"{kind} has an encoder: guardedit edits decoder-only models")
