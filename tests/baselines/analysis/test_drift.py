"""Drift: PCA of planted movements, and the states of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.analysis import vectors
from baselines.analysis.drift import final_states, summarise
from polyfact_dataset.common.errors import DataError
from tests.support.planted_models import random_qwen2


def test_planted_movement_is_found():
    """Every state moves by 3 along one axis, language aa spreads along a second, bb not at all."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 16))
    codes = np.array(["aa", "bb"] * 100)
    moved = np.zeros((200, 16))
    moved[:, 2] = 3.0
    moved[codes == "aa", 5] = np.tile([4.0, -4.0], 50)
    metrics, arrays = summarise(base, base + moved, codes, ("aa", "bb"))
    assert metrics["aa"]["mean_norm"] == pytest.approx(5)
    assert metrics["aa"]["spread"] == pytest.approx(4)
    assert metrics["aa"]["concentration"] == pytest.approx(0.6)
    assert metrics["bb"]["mean_norm"] == pytest.approx(3)
    assert metrics["bb"]["spread"] == pytest.approx(0, abs=1e-12)
    assert metrics["bb"]["concentration"] == pytest.approx(1)
    assert metrics["all"]["explained"] == pytest.approx([1, 0], abs=1e-12)
    assert np.abs(arrays["points"][codes == "aa", 0]) == pytest.approx(4)
    assert arrays["drift_means"][:, 2] == pytest.approx([3, 3])


def test_pca_is_the_eigendecomposition_of_the_covariance():
    values = np.random.default_rng(1).normal(size=(50, 6)) @ np.diag([5, 3, 1, 1, 0.5, 0.1])
    found = vectors.pca(values, 3)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(values.T))
    np.testing.assert_allclose(found.explained, eigenvalues[::-1][:3] / eigenvalues.sum())
    for place in range(3):
        assert abs(found.directions[place] @ eigenvectors[:, -1 - place]) == pytest.approx(1)
        assert found.directions[place][np.abs(found.directions[place]).argmax()] > 0
    np.testing.assert_allclose(found.points, (values - values.mean(0)) @ found.directions.T)


def test_models_that_did_not_move_and_too_few_states():
    same = np.ones((4, 3))
    metrics, arrays = summarise(same, same, np.array(["aa"] * 4), ("aa",))
    assert metrics["aa"]["mean_norm"] == metrics["aa"]["concentration"] == 0
    assert arrays["explained"].tolist() == [0, 0]
    with pytest.raises(DataError, match="at least 2 states"):
        vectors.pca(np.ones((1, 3)))
    with pytest.raises(DataError, match="hidden size"):
        summarise(same, np.ones((4, 5)), np.array(["aa"] * 4), ("aa",))


def test_states_are_those_at_the_last_token_whatever_the_batch():
    model = random_qwen2()
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]
    found = final_states(model, prompts, batch=3)
    with torch.inference_mode():
        for prompt, state in zip(prompts, found):
            expected = model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[-1][0, -1]
            np.testing.assert_allclose(state, expected.numpy(), rtol=1e-4, atol=1e-5)
