"""The mathematics of LAHIS on arrays of known content."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.analysis import heads
from polyfact_dataset.common.errors import ConfigError, DataError


def test_importance_is_the_mean_magnitude_times_the_share_of_negative_products():
    rng = np.random.default_rng(0)
    products = rng.normal(size=(7, 3, 5))
    found = heads.Importance((3, 5))
    for sample in products:
        found.add(sample)
    expected = 1000 * np.abs(products).mean(0) * (products < 0).mean(0)
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    assert (expected > 0).any()


def test_a_head_that_always_raises_the_loss_has_no_importance():
    found = heads.Importance((1, 2))
    found.add([[0.5, -0.5]])
    assert found.value.tolist() == [[0.0, 500.0]]


def test_not_finite_and_no_samples_are_refused():
    found = heads.Importance((1, 1))
    with pytest.raises(DataError, match="no sample"):
        _ = found.value
    with pytest.raises(DataError, match="float32"):
        found.add([[np.nan]])


def test_top_share_and_quantile():
    values = np.arange(1024, dtype=float).reshape(32, 32)
    assert np.flatnonzero(heads.top(values, 0.02)).tolist() == list(range(1004, 1024))
    assert heads.top(values, None, 0.96).sum() == 41
    assert heads.top(np.zeros((32, 32))).sum() == 0
    with pytest.raises(ConfigError, match="a share of 0.02 of 4 heads is none; one head is a share of 0.25"):
        heads.top(np.ones((2, 2)), 0.02)
    with pytest.raises(ConfigError, match="either"):
        heads.top(values, 0.1, 0.9)


def masks_of(*sets):
    masks = np.zeros((len(sets), 2, 4), bool)
    for mask, chosen in zip(masks, sets):
        mask.flat[list(chosen)] = True
    return masks


def test_layers_overlap_stability_and_general_heads():
    base = masks_of({0, 1, 2, 3}, {0, 1, 4, 5}, {6, 7, 0, 1})
    trained = masks_of({0, 1, 4, 5}, {0, 1, 4, 5}, {2, 3, 4, 5})
    assert heads.per_layer(base).tolist() == [[100, 0], [50, 50], [50, 50]]
    assert heads.overlap(base).tolist() == [[100, 50, 50], [50, 100, 50], [50, 50, 100]]
    stable, changed = heads.stability(base, trained)
    assert stable.tolist() == [2, 4, 0]
    assert changed.tolist() == [2, 0, 4]
    assert np.flatnonzero(heads.general(base, 3)).tolist() == [0, 1]
    with pytest.raises(DataError, match="do not compare"):
        heads.stability(base, trained[:, :1])


def test_languages_without_heads_are_marked_as_such():
    masks = masks_of({0}, set())
    assert np.isnan(heads.per_layer(masks)[1]).all()
    assert np.isnan(heads.overlap(masks)[0, 1])
