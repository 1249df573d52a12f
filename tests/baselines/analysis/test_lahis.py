"""LAHIS on a model with planted heads, and its gradients against finite differences."""

from __future__ import annotations

import numpy as np
import torch

from baselines.analysis import heads
from baselines.analysis.hooks import anatomy, head_mask
from baselines.analysis.lahis import HeadMask, compare, draw, importances, summarise
from baselines.analysis.text import Sample, Sampler
from tests.support.analysis_results import result
from tests.support.planted_models import CODES, HEADS, WORDS, Words, blank, language_axes, line, random_qwen2, token

# (layer, head) -> languages whose words it makes likelier
PLANTED = {(0, 1): [0], (2, 3): [1], (3, 0): [2], (1, 2): [0, 1, 2]}
IDS = [1, 5, 2, 7, 9, 3]


def planted_model():
    """A planted head averages a language's axis over the past and writes it to one that raises its words.

    All queries and keys are zero, so attention is uniform; a head that reads nothing writes nothing.
    """
    model = blank()
    language_axes(model)
    size = model.config.hidden_size // HEADS
    with torch.no_grad():
        for (layer, head), languages in PLANTED.items():
            attention = model.model.layers[layer].self_attn
            for place, k in enumerate(languages):
                attention.v_proj.weight[head * size + place, k] = 1.0
                attention.o_proj.weight[20 + k, head * size + place] = 1.0
        for k in range(len(CODES)):
            for word in range(WORDS):
                model.lm_head.weight[token(k, word), 20 + k] = 1.0
    return model


def rows(count):
    for number in range(count):
        words = [(3 * number + place) % WORDS for place in range(5)]
        yield {code: line(k, *words) for k, code in enumerate(CODES)}


def test_exactly_the_planted_heads_are_found():
    found = importances(planted_model(), Sampler(Words(), CODES, 16).run(rows(6)), CODES)
    for k in range(len(CODES)):
        expected = {place for place, languages in PLANTED.items() if k in languages}
        assert {(int(j), int(h)) for j, h in zip(*np.nonzero(found[k]))} == expected
    metrics, arrays = summarise(found, 2 / 16, None, at_least=3)
    assert metrics["heads"] == [2, 2, 2]
    assert np.argwhere(arrays["general"]).tolist() == [[1, 2]]
    assert metrics["overlap"][0] == [100.0, 50.0, 50.0]
    assert metrics["per_layer"][1] == [0.0, 50.0, 50.0, 0.0]


def test_gradients_are_those_of_finite_differences():
    model = random_qwen2()
    parts, step = anatomy(model), 0.05
    ids = torch.tensor([IDS])

    def loss(mask):
        with head_mask(parts, mask):
            return model(input_ids=ids, labels=ids).loss

    mask = torch.ones(2, 4, requires_grad=True)
    loss(mask).backward()
    # Norms and loss compute in float32: a wide five-point stencil keeps both of its errors small.
    stencil = {2: -1, 1: 8, -1: -8, -2: 1}
    expected = np.zeros((2, 4))
    for place in np.ndindex(2, 4):
        for moves, weight in stencil.items():
            other = torch.ones(2, 4)
            other[place] += moves * step
            with torch.inference_mode():
                expected[place] += weight * float(loss(other)) / (12 * step)
    np.testing.assert_allclose(mask.grad.numpy(), expected, rtol=2e-3, atol=1e-5)
    assert (np.abs(expected) > 1e-3).all()


def test_a_mask_of_ones_changes_nothing_and_a_zero_is_the_head_cut_out():
    model = random_qwen2()
    parts, ids = anatomy(model), torch.tensor([IDS])
    with torch.inference_mode():
        plain = model(ids).logits
        with head_mask(parts, torch.ones(2, 4)):
            assert torch.equal(model(ids).logits, plain)
        mask = torch.ones(2, 4)
        mask[1, 2] = 0
        with head_mask(parts, mask):
            masked = model(ids).logits
        assert torch.equal(model(ids).logits, plain)
        weight = parts.blocks[1].self_attn.o_proj.weight
        size = weight.shape[1] // 4
        weight[:, 2 * size : 3 * size] = 0
        torch.testing.assert_close(model(ids).logits, masked)
    assert not torch.allclose(masked, plain)


def test_the_mask_moves_as_adamw_moves_it_and_the_model_stays():
    model = random_qwen2()
    parts = anatomy(model)
    before = [parameter.clone() for parameter in model.parameters()]
    model.requires_grad_(False)
    mine = HeadMask(2, 4, torch.device("cpu"))
    mask, expected = torch.ones(2, 4), heads.Importance((2, 4))
    first, second = torch.zeros(2, 4), torch.zeros(2, 4)
    for number in range(1, 4):
        mine.step(parts, model, IDS)
        leaf = mask.clone().requires_grad_()
        ids = torch.tensor([IDS])
        with head_mask(parts, leaf):
            gradient = torch.autograd.grad(model(input_ids=ids, labels=ids).loss, leaf)[0]
        expected.add((gradient * mask).numpy())
        # AdamW of Loshchilov and Hutter with PyTorch's defaults: betas 0.9, 0.999; eps 1e-8; weight decay 0.01.
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        mask = mask * (1 - 1e-2 * 0.01)
        mask = mask - 1e-2 * (first / (1 - 0.9**number)) / ((second / (1 - 0.999**number)).sqrt() + 1e-8)
    torch.testing.assert_close(mine.mask.detach(), mask)
    np.testing.assert_allclose(mine.importance.value, expected.value, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_samples_of_one_token_have_no_loss_and_are_passed_over():
    model = random_qwen2()
    short = Sample({"aa": [1]}, 0)
    long = Sample({"aa": IDS}, 0)
    only = importances(model, [long], ["aa"])
    assert (importances(model, [short, long], ["aa"]) == only).all()


def test_two_models_are_compared():
    base = np.zeros((3, 4, 4))
    for (layer, head), languages in PLANTED.items():
        base[languages, layer, head] = 1.0
    trained = base.copy()
    trained[0, 0, 1], trained[0, 3, 3] = 0.0, 2.0
    loaded = []
    for label, values in (("base", base), ("new model", trained)):
        metrics, arrays = summarise(values, 2 / 16, None, 3)
        loaded.append((result("lahis", label, CODES, metrics), arrays))
    rows = {(row["model"], row["language"]): row for row in compare(loaded)}
    assert (rows["new model", "aa"]["stable"], rows["new model", "aa"]["changed"]) == (1, 1)
    assert (rows["new model", "bb"]["stable"], rows["new model", "bb"]["changed"]) == (2, 0)
    assert rows["base", "aa"]["in layer 1 (%)"] == 50
    assert rows["new model", "aa"]["in layer 1 (%)"] == 0
    names = [figure.name for figure in draw(loaded)]
    assert names == ["lahis_overlap", "lahis_layers", "lahis_changes_new-model", "lahis_delta_new-model"]
