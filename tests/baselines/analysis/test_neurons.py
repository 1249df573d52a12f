"""The mathematics of LAPE against a plain computation, neuron by neuron."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from baselines.analysis import neurons
from polyfact_dataset.common.errors import ConfigError, DataError


def brute_force(counts, tokens, rule, share, quantile):
    """LAPE with Python numbers only: {(layer, neuron): languages}."""
    languages, layers, width = counts.shape
    p = {
        (k, j, w): int(counts[k, j, w]) / int(tokens[k])
        for k in range(languages)
        for j in range(layers)
        for w in range(width)
    }
    level = sorted(p.values())[round(quantile * len(p)) - 1] if quantile else 0
    scored = []
    for j in range(layers):
        for w in range(width):
            own = [p[k, j, w] for k in range(languages)]
            if max(own) > level:
                total = sum(own)
                scored.append((-sum(v / total * math.log(v / total) for v in own if v), j, w))
    result = {}
    for _, j, w in sorted(scored)[: round(share * layers * width)]:
        own = [p[k, j, w] for k in range(languages)]
        result[j, w] = {own.index(max(own))} if rule == "highest" else {k for k, v in enumerate(own) if v > level}
    return result


@pytest.mark.parametrize("rule", neurons.RULES)
@pytest.mark.parametrize("quantile", neurons.BARS.values(), ids=neurons.BARS)
@pytest.mark.parametrize("seed", range(5))
def test_selection_is_that_of_the_brute_force_computation(rule, quantile, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(50, 200, 4)
    counts = rng.integers(0, tokens[:, None, None] + 1, (4, 3, 30)) // rng.integers(1, 20, (4, 3, 30))
    found = neurons.specialised(neurons.frequencies(counts, tokens), rule, 0.1, quantile)
    got = {(j, w): set(np.flatnonzero(found.assigned[:, j, w])) for j, w in zip(*np.nonzero(found.mask))}
    expected = brute_force(counts, tokens, rule, 0.1, quantile)
    assert got == expected
    assert len(got) > 3


def test_entropy_of_known_distributions():
    p = np.array([[[0.2, 0.5, 0.0]], [[0.2, 0.0, 0.0]]])
    assert neurons.entropy(p)[0].tolist() == [pytest.approx(math.log(2)), 0.0, math.inf]


def test_bar_counts_from_one_and_must_be_exceeded():
    p = np.arange(1, 21).reshape(1, 2, 10) / 20
    assert neurons.bar(p, neurons.BARS["original"]) == 19 / 20 and neurons.bar(p) == 0.0
    assert neurons.specialised(p, "every", 1.0, neurons.BARS["original"]).mask.sum() == 1


def test_any_activation_exceeds_the_bar_of_the_paper():
    p = np.zeros((2, 1, 4))
    p[0, 0, 1] = 1e-6
    found = neurons.specialised(p, "every", share=1.0)
    assert np.flatnonzero(found.mask).tolist() == [1] and found.per_language.tolist() == [1, 0]


def test_both_rules_differ_where_a_neuron_is_above_the_bar_twice():
    p = np.full((3, 1, 100), 0.1)
    p[:, 0, 7] = 0.9, 0.8, 0.0
    every, highest = (neurons.specialised(p, rule) for rule in ("every", "highest"))
    assert every.per_language.tolist() == [1, 1, 0]
    assert highest.per_language.tolist() == [1, 0, 0]
    assert np.flatnonzero(highest.mask).tolist() == [7]


def test_impossible_counts_are_refused():
    with pytest.raises(DataError, match="tokens"):
        neurons.frequencies(np.ones((2, 1, 1)), [1, 0])
    with pytest.raises(DataError, match="tokens"):
        neurons.frequencies(np.full((1, 1, 1), 5), [4])
    with pytest.raises(ConfigError, match="every, highest"):
        neurons.specialised(np.ones((2, 1, 1)), "some")


def test_ks_distance_is_that_of_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 30, 12), rng.integers(0, 30, 12)
    samples = [np.repeat(np.arange(12), counts) for counts in (first, second)]
    assert neurons.ks_distance(first, second) == pytest.approx(ks_2samp(*samples).statistic)
    assert neurons.ks_distance(first, first) == 0
    with pytest.raises(DataError, match="12 and 11 layers"):
        neurons.ks_distance(first, second[:11])


def test_share_in_the_last_layers():
    assert neurons.last_share([[1, 2, 3, 4], [0, 0, 0, 0]], 2).tolist() == [0.7, pytest.approx(math.nan, nan_ok=True)]
