"""The hooks on every family that they are meant for."""

from __future__ import annotations

import pytest
import torch
import transformers

from baselines.analysis.hooks import anatomy, block_outputs, gate_activations, head_mask
from polyfact_dataset.common.errors import ConfigError
from tests.support.planted_models import SMALL

FAMILIES = ("Llama", "Qwen2", "Qwen3", "Olmo2", "Gemma", "Gemma2", "Gemma3")
IDS = torch.tensor([[3, 1, 4, 1, 5]])


def tiny(family):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}{'Text' * (family == 'Gemma3')}Config")(
        **SMALL,
        vocab_size=40,
        head_dim=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_all_parts_are_found_and_seen(family):
    model = tiny(family)
    parts = anatomy(model)
    assert (parts.layers, parts.heads, parts.width) == (2, 4, 48)
    gates, blocks, inputs = {}, {}, {}
    handles = [
        block.mlp.register_forward_pre_hook(lambda _, args, n=number: inputs.__setitem__(n, args[0]))
        for number, block in enumerate(parts.blocks)
    ]
    with (
        torch.no_grad(),
        gate_activations(parts, gates.__setitem__),
        block_outputs(parts, blocks.__setitem__),
    ):
        output = model(IDS, output_hidden_states=True)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        for layer, block in enumerate(parts.blocks):
            expected = block.mlp.act_fn(inputs[layer] @ block.mlp.gate_proj.weight.T)
            torch.testing.assert_close(gates[layer], expected)
        torch.testing.assert_close(blocks[0], output.hidden_states[1])
        torch.testing.assert_close(parts.final_norm(blocks[1]), output.hidden_states[2])


@pytest.mark.parametrize("family", FAMILIES)
def test_masking_a_head_is_cutting_its_columns(family):
    model = tiny(family)
    parts, mask = anatomy(model), torch.ones(2, 4)
    mask[0, 3] = 0
    with torch.inference_mode(), head_mask(parts, mask):
        masked = model(IDS).logits
    with torch.inference_mode():
        plain = model(IDS).logits
        parts.blocks[0].self_attn.o_proj.weight[:, -parts.blocks[0].self_attn.o_proj.in_features // 4 :] = 0
        torch.testing.assert_close(model(IDS).logits, masked)
    assert not torch.allclose(plain, masked)


def test_an_architecture_without_gated_mlps_is_refused():
    config = transformers.GPT2Config(vocab_size=10, n_embd=8, n_layer=1, n_head=2)
    with pytest.raises(ConfigError, match="GPT2LMHeadModel"):
        anatomy(transformers.GPT2LMHeadModel(config))
    config = transformers.OPTConfig(vocab_size=10, hidden_size=8, ffn_dim=8, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(ConfigError, match="layer 0 has no mlp.gate_proj|list of layers"):
        anatomy(transformers.OPTForCausalLM(config))
