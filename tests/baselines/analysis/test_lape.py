"""LAPE on a model with planted neurons, and its counts against a plain forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.analysis.hooks import anatomy, gate_activations
from baselines.analysis.lape import compare, count_activations, draw, main, quantile_of, summarise
from baselines.analysis.text import Sample, Sampler
from polyfact_dataset.common.errors import ConfigError
from tests.support.analysis_results import result
from tests.support.planted_models import (
    CODES,
    LAYERS,
    WIDTH,
    Words,
    blank,
    language_axes,
    line,
    random_qwen2,
    token,
)

# (layer, neuron) -> language
PLANTED = {(0, 3): 0, (1, 50): 1, (3, 99): 2, (3, 0): 0}


def planted_model():
    """Planted neurons fire for all words of one language, 10 neurons for every word, all others for half of them."""
    model = blank()
    language_axes(model)
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            gate = block.mlp.gate_proj.weight
            gate[:, 10] = 1.0
            if layer == 2:
                gate[:10] = 0.0
                gate[:10, 11] = 1.0
        for (layer, neuron), language in PLANTED.items():
            gate = model.model.layers[layer].mlp.gate_proj.weight
            gate[neuron] = 0.0
            gate[neuron, :3] = -1.0
            gate[neuron, language] = 1.0
    return model


def rows(count):
    """Languages say the same in different lengths."""
    for number in range(count):
        words = [(number + place) % 8 for place in range(4)]
        yield {"aa": line(0, *words), "bb": line(1, *words, *words), "cc": line(2, *words)}


def test_exactly_the_planted_neurons_are_found():
    sampler = Sampler(Words(), CODES, 32)
    counts, tokens = count_activations(planted_model(), sampler.run(rows(20)), CODES, batch=3)
    assert tokens.tolist() == [80, 160, 80] == [sampler.tokens[code] for code in CODES]
    metrics, arrays = summarise(counts, tokens, share=0.01, quantile=0.95, last=1)
    assert set(zip(*np.nonzero(arrays["mask"]))) == set(PLANTED)
    for rule in ("every", "highest"):
        assert metrics[rule]["per_language"] == [2, 1, 1]
        assert arrays[f"per_layer_{rule}"].tolist() == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]]
        assert metrics[rule]["last_layers"] == [0.5, 0.0, 1.0]
    assert metrics["bar"] == 0.5


def test_the_bar_of_the_papers_figures_is_the_default():
    """None, as the code behind them had; that of Tang et al. by its name."""
    import inspect

    assert inspect.signature(main).parameters["bar"].default == "paper"
    assert [quantile_of(bar) for bar in ("paper", "original", "0.5")] == [0.0, 0.95, 0.5]
    for bar in ("1", "-0.1", "high"):
        with pytest.raises(ConfigError, match="must be paper, original or a quantile from 0 to below 1"):
            quantile_of(bar)


def test_counts_are_those_of_a_plain_forward_pass():
    model = random_qwen2()
    samples = [
        Sample({"aa": [9, 1, 2, 3], "bb": [9, 9], "cc": [9, 17, 18]}, 1),
        Sample({"aa": [9, 4], "bb": [9, 10, 11, 12, 13, 14], "cc": [9, 20]}, 1),
        Sample({"aa": [9, 7], "bb": [9, 15], "cc": [9, 16]}, 1),
    ]
    counts, tokens = count_activations(model, samples, CODES, batch=2)
    assert tokens.tolist() == [5, 7, 4]
    expected = np.zeros((3, 2, 48), int)
    for k, code in enumerate(CODES):
        for sample in samples:
            states = plain_gates(model, sample.ids[code])
            for layer, values in enumerate(states):
                expected[k, layer] += (values[1:] > 0).sum(0).numpy()
    assert (counts == expected).all()
    assert 0 < counts.sum() < tokens.sum() * 2 * 48


@torch.inference_mode()
def plain_gates(model, ids):
    """act(gate(x)) of every layer for one sequence, computed from the blocks' parts without a hook."""
    found = []
    states = model.model.embed_tokens(torch.tensor([ids]))
    positions = torch.arange(len(ids))[None]
    rotary = model.model.rotary_emb(states, positions)
    mask = torch.full((len(ids), len(ids)), float("-inf")).triu(1)[None, None]
    for block in model.model.layers:
        attended, _ = block.self_attn(
            hidden_states=block.input_layernorm(states), position_embeddings=rotary, attention_mask=mask
        )
        states = states + attended
        inner = block.post_attention_layernorm(states)
        gate = torch.nn.functional.silu(inner @ block.mlp.gate_proj.weight.T)
        found.append(gate[0])
        states = states + (gate * (inner @ block.mlp.up_proj.weight.T)) @ block.mlp.down_proj.weight.T
    return found


def test_hooked_values_are_those_of_a_plain_forward_pass_and_hooks_go():
    model = random_qwen2()
    seen = {}
    with torch.inference_mode(), gate_activations(anatomy(model), seen.__setitem__):
        model(torch.tensor([[1, 2, 3, 9]]))
    for layer, values in enumerate(plain_gates(model, [1, 2, 3, 9])):
        torch.testing.assert_close(seen[layer][0], values)
    seen.clear()
    model(torch.tensor([[1]]))
    assert not seen


def result_of(label, arrays, metrics):
    return result("lape", label, CODES, metrics, settings={"last_layers": 1}), arrays


def test_two_models_are_compared():
    tokens = np.array([100, 100, 100])
    base, moved = np.full((2, 3, LAYERS, WIDTH), 10)
    base[0, 0, :4] = 90
    moved[0, 3, :3] = 90
    moved[1, 3, 3] = 90
    loaded = [
        result_of(name, arrays, metrics)
        for name, counts in (("base", base), ("moved", moved))
        for metrics, arrays in [summarise(counts, tokens, 0.01, 0.95, 1)]
    ]
    rows = {(row["model"], row["rule"], row["language"]): row for row in compare(loaded)}
    assert rows["moved", "highest", "all"]["KS distance"] == 1.0
    assert rows["moved", "highest", "aa"]["change from base (%)"] == -25.0
    assert rows["base", "highest", "all"]["KS distance"] == 0.0
    assert [figure.name for figure in draw(loaded)] == [
        "lape_languages",
        "lape_last_layers",
        "lape_layers",
        "lape_ecdf",
    ]


def test_token_helper_matches_the_tokenizer():
    assert Words()(line(2, 5))["input_ids"] == [token(2, 5)]
