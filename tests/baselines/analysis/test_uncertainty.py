"""Perplexity against a plain sum, and self-similarity of known answers."""

from __future__ import annotations

import math

import pytest
import torch

from baselines.analysis.uncertainty import measure, question_loss, sample_answers, self_similarity
from baselines.models import Model
from polyfact_dataset.common.errors import DataError
from tests.support.planted_models import Words, blank, line, random_qwen2


class Speaking(Words):
    """Also decodes: ten ids per letter."""

    pad_token_id = 0
    eos_token_id = 24

    def __call__(self, text, **_):
        # The prompt around a question is not made of its words.
        return {"input_ids": [self._id(word) for word in text.split() if word[:1] in "abc" and word[1:].isdigit()]}

    def decode(self, ids, **_):
        return " ".join("?" if i == 24 else f"{'abc'[i // 8]}{i % 8}" for i in ids)

    def batch_decode(self, rows, **_):
        return [self.decode(row.tolist()) for row in rows]


def model_of(network):
    return Model(network, Speaking(), torch.device("cpu"), {})


def test_loss_is_the_plain_sum():
    network = random_qwen2()
    ids = [1, 2, 9, 20]
    with torch.inference_mode():
        logits = network(torch.tensor([ids])).logits[0].double()
    expected = -sum(float(torch.log_softmax(logits[n], -1)[ids[n + 1]]) for n in range(3))
    lost, tokens, size = question_loss(model_of(network), "a1 a2 b1 c4")
    assert lost == pytest.approx(expected, rel=1e-5)
    assert (tokens, size) == (3, len("a1 a2 b1 c4") - 2)
    with pytest.raises(DataError, match="at least 2"):
        question_loss(model_of(network), "a1")


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    metrics, values = measure(model_of(blank()), [line(0, 1, 2, 3), line(1, 4, 5)], "en", 4, 3, 1.0)
    assert metrics["perplexity"] == pytest.approx(25, rel=1e-5)
    assert metrics["bits_per_byte"] == pytest.approx(3 * math.log2(25) / (6 + 3), rel=1e-5)
    assert values.shape == (2, 3)


def test_sampling_is_repeatable_and_warmth_makes_answers_differ():
    model = model_of(random_qwen2())
    cold = sample_answers(model, "a1 b2", 6, 5, 0.01)
    assert len(set(cold)) == 1
    torch.manual_seed(3)
    warm = sample_answers(model, "a1 b2", 6, 5, 2.0)
    torch.manual_seed(3)
    assert sample_answers(model, "a1 b2", 6, 5, 2.0) == warm
    assert len(set(warm)) > 1


def test_self_similarity_of_known_answers():
    assert self_similarity(["London", "London", "London"], "en") == 1
    assert self_similarity(["", ""], "en") == 1
    assert self_similarity(["red", "green", "blue"], "en") == 0
    same, half = self_similarity(["a b c d e"] * 2, "en"), self_similarity(["a b c d e", "a b c x y"], "en")
    assert 0 < half < same
    # Words are not spaced: compared by character.
    assert self_similarity(["伦敦市中心", "伦敦市东区"], "zh") > 0.1
    with pytest.raises(DataError, match="two answers"):
        self_similarity(["one"], "en")
