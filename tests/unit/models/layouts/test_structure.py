"""The fallback, on families with a card, which it has to find, on others, and on models it must refuse."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    DeepseekV2Config,
    FalconConfig,
    FalconH1Config,
    GPTNeoXConfig,
    GraniteConfig,
    JambaConfig,
    LlamaConfig,
    MixtralConfig,
    OPTConfig,
    Qwen3NextConfig,
    T5Config,
    T5ForConditionalGeneration,
    XGLMConfig,
)
from transformers.modeling_outputs import CausalLMOutput

from guardedit.core.errors import UnknownLayout
from guardedit.models.host import ModelHost
from guardedit.models.layouts.cards import layout_of, read_structure
from guardedit.models.layouts.structure import find_structure
from tests.tiny_models import (
    CARDED,
    CARDLESS,
    CONTEXT,
    HEADS,
    KIN,
    LAYERS,
    SQUARE,
    D,
    F,
    build,
    byte_tokenizer,
)

VOCABULARY = 300
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": D, "intermediate_size": F, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
OPT_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": D, "ffn_dim": F, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


def shaken(model: nn.Module) -> nn.Module:
    """Biases and norms that are not zero and one: a structure must not be found by their chance values."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


@pytest.mark.parametrize("name", [*CARDED, *KIN, *SQUARE])
def test_the_fallback_finds_what_the_card_says(name):
    model = shaken({**CARDED, **KIN, **SQUARE}[name](VOCABULARY))
    assert read_structure(model).account == ()  # there is a card
    card = replace(layout_of(model), architectures=())
    assert replace(find_structure(model).layout, architectures=()) == card


def test_the_parts_of_opt_which_has_no_mlp_module_are_found():
    layout = layout_of(shaken(CARDLESS["opt"](VOCABULARY)))
    assert layout.architectures == ("OPTForCausalLM",)
    assert layout.mlp_out_name(1) == "model.decoder.layers.1.fc2"
    assert layout.attention == "self_attn"
    assert layout.final_norm == "model.decoder.final_layer_norm"
    assert (layout.head, layout.embed) == ("lm_head", "model.decoder.embed_tokens")
    assert (layout.parallel_attention, layout.after_mlp) == (False, "")


@pytest.mark.parametrize(
    ("name", "mlp_out", "parallel", "after_mlp"),
    [
        ("falcon", "mlp.dense_4h_to_h", True, ""),  # adds attention's output to the MLP's in place
        ("stablelm", "mlp.down_proj", False, ""),
        ("cohere", "mlp.down_proj", True, ""),
    ],
)
def test_the_parts_of_families_without_a_card_are_found(name, mlp_out, parallel, after_mlp):
    layout = layout_of(shaken(CARDLESS[name](VOCABULARY)))
    assert (layout.mlp_out, layout.parallel_attention, layout.after_mlp) == (mlp_out, parallel, after_mlp)


@pytest.mark.parametrize("parallel", [False, True])
def test_gpt_neox_is_parallel_as_its_configuration_says(parallel):
    sizes = {key: value for key, value in SIZES.items() if key != "pad_token_id"}
    model = build(GPTNeoXConfig(**sizes, use_parallel_residual=parallel))
    assert layout_of(model).parallel_attention is parallel
    assert find_structure(model).layout.parallel_attention is parallel


def test_a_falcon_whose_parts_follow_each_other_is_not_called_parallel():
    config = FalconConfig(
        vocab_size=VOCABULARY, hidden_size=D, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        alibi=True, parallel_attn=False, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    assert not layout_of(build(config)).parallel_attention


def test_a_family_that_does_not_run_in_float64_is_read_in_float32():
    config = XGLMConfig(
        vocab_size=VOCABULARY, d_model=D, ffn_dim=F, num_layers=LAYERS, attention_heads=HEADS,
        max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    assert layout_of(build(config)).mlp_out == "fc2"


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "falcon"])
def test_low_precision_changes_nothing(name):
    model = {**CARDED, **CARDLESS}[name](VOCABULARY)
    exact = find_structure(model).layout
    assert find_structure(model.to(torch.bfloat16)).layout == exact


@pytest.mark.parametrize("name", ["opt", "gemma2", "falcon"])
def test_the_account_says_what_was_found_one_line_each(name):
    found = find_structure({**CARDED, **CARDLESS}[name](VOCABULARY))
    assert all("\n" not in line for line in found.account)
    subjects = [line.partition(":")[0] for line in found.account]
    assert subjects == [
        "decoder layers", "down projection", "attention", "attention and MLP", "norm after the MLP",
        "final norm", "head", "embedding", "logits", "tested one by one",
    ]  # fmt: skip
    said = dict(zip(subjects, found.account, strict=True))
    assert f"{found.layout.mlp_out}, " in said["down projection"]
    assert f"from f = {F} to d = {D}" in said["down projection"]
    assert (found.layout.after_mlp or "none") in said["norm after the MLP"]
    assert ("parallel" in said["attention and MLP"]) == found.layout.parallel_attention
    assert ("caps" in said["logits"]) == (name == "gemma2")


def test_a_host_shows_the_account_and_an_empty_one_for_a_card():
    tokenizer = byte_tokenizer()
    assert ModelHost(CARDED["llama"](len(tokenizer)), tokenizer).layout_account == ()
    host = ModelHost(CARDLESS["stablelm"](len(tokenizer)), tokenizer)
    assert host.layout_account == read_structure(host.model).account != ()
    assert host.layers == LAYERS
    assert host.base_matrix(1).shape == (D, F)
    assert host.complete(["Oslo is"], max_new_tokens=2) == host.complete(["Oslo is"], max_new_tokens=2)


def test_looking_leaves_the_model_as_it_was():
    model = CARDLESS["falcon"](VOCABULARY).train()
    model.transformer.h[1].mlp.eval()

    def state() -> tuple[str, list[tuple[bool, int]]]:
        digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters()))
        return digest.hexdigest(), [(m.training, len(m._forward_hooks)) for m in model.modules()]

    before, seed = state(), torch.get_rng_state()
    find_structure(model)
    assert state() == before
    assert torch.equal(torch.get_rng_state(), seed)


GROUPED = {"num_key_value_heads": 1}
DEEPSEEK = {
    "n_routed_experts": 4, "n_shared_experts": 1, "moe_intermediate_size": 16, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8,
}  # fmt: skip
NEXT = {
    "num_hidden_layers": 4, "num_key_value_heads": 1, "head_dim": 16, "num_experts": 0,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
}  # fmt: skip
H1 = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}
REFUSED = {
    "a scaled value": (
        lambda: GraniteConfig(**SIZES, residual_multiplier=0.22),
        r"mlp\.down_proj \(multiplied by 0\.22 first\)",
    ),
    "a norm over the whole sum": (
        lambda: OPTConfig(**OPT_SIZES, do_layer_norm_before=False),
        r"0 matrices.*fc2",
    ),
    "attention and MLP in an encoder's order": (
        lambda: BertConfig(**SIZES, is_decoder=True),
        r"output\.dense",
    ),
    "a projection before the head": (
        lambda: OPTConfig(**OPT_SIZES, word_embed_proj_dim=16),
        "0 modules lead from the last layer to lm_head",
    ),
    "no final norm": (
        lambda: OPTConfig(**OPT_SIZES, _remove_final_layer_norm=True),
        "there is no norm between",
    ),
    "experts": (
        lambda: MixtralConfig(**SIZES, **GROUPED, num_local_experts=4),
        "0 matrices of a MixtralDecoderLayer",
    ),
    "a shared expert beside others": (
        lambda: DeepseekV2Config(**SIZES, **DEEPSEEK, first_k_dense_replace=0),
        r"mlp\.shared_experts\.down_proj are not the only modules",
    ),
    "one dense layer, then experts": (
        lambda: DeepseekV2Config(**SIZES, **DEEPSEEK, first_k_dense_replace=1),
        r"are not the only modules|built differently from layer 0",
    ),
    "two kinds of attention": (
        lambda: Qwen3NextConfig(**{**SIZES, **NEXT}),
        "layer 3 is built differently from layer 0",
    ),
    "two mixers in a layer": (
        lambda: FalconH1Config(**SIZES, **GROUPED, **H1),
        r"2 modules.*\(mamba, self_attn\)",
    ),
    "layers of several classes": (
        lambda: JambaConfig(**SIZES, **GROUPED, attn_layer_period=2, attn_layer_offset=1),
        "0 lists of modules can be its decoder layers",
    ),
}


@pytest.mark.parametrize("why", list(REFUSED))
def test_what_is_not_certain_is_refused_with_the_reason(why):
    config, reason = REFUSED[why]
    model = build(config())
    with pytest.raises(UnknownLayout, match=reason):
        find_structure(model)
    with pytest.raises(UnknownLayout, match=rf"no layout card for {type(model).__name__}.*known: GPT2LM"):
        layout_of(model)


def test_a_model_that_cannot_read_tokens_alone_is_refused_with_what_it_said():
    config = T5Config(vocab_size=VOCABULARY, d_model=D, d_ff=F, d_kv=16, num_layers=2, num_heads=HEADS)
    with pytest.raises(UnknownLayout, match=r"running it on 6 tokens failed: You must specify"):
        find_structure(T5ForConditionalGeneration(config))


def test_a_layer_that_is_not_run_by_itself_must_still_be_built_alike():
    model = build(LlamaConfig(**{**SIZES, **GROUPED, "num_hidden_layers": 5}))  # layers 0, 2 and 4 are run
    assert "layers 0, 2, 4" in find_structure(model).account[-1]
    narrow = LlamaConfig(**{**SIZES, **GROUPED, "intermediate_size": F // 2})
    model.model.layers[3].mlp = build(narrow).model.layers[0].mlp
    with pytest.raises(UnknownLayout, match=r"layer 3 is built differently from layer 0: mlp\.down_proj"):
        find_structure(model)


def test_two_equally_long_stacks_are_ambiguous():
    class Twin(nn.Module):
        """A second stack behind the decoder's own."""

        def __init__(self) -> None:
            super().__init__()
            self.first = CARDED["llama"](VOCABULARY)
            self.second = nn.ModuleList([nn.Linear(D, D) for _ in range(LAYERS)])
            self.get_input_embeddings = self.first.get_input_embeddings
            self.get_output_embeddings = self.first.get_output_embeddings

        def forward(self, input_ids, use_cache):
            hidden = self.first.model(input_ids=input_ids, use_cache=use_cache).last_hidden_state
            for layer in self.second:
                hidden = layer(hidden)
            return CausalLMOutput(logits=self.first.lm_head(hidden))

    with pytest.raises(UnknownLayout, match=r"2 lists of modules \(first\.model\.layers, second\)"):
        find_structure(Twin())
