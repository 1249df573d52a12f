"""CM-Align: the pivot and the pairs by hand, the encoder, and a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from pydantic import ValidationError  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from baselines.cm_align import (  # noqa: E402
    CmAlignConfig,
    load_encoder,
    make_trainer,
    pairs_of,
    pivot_of,
    preferences,
    train,
)
from baselines.data import load  # noqa: E402
from baselines.prompts import item_prompt  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from baselines.training.sampling import SamplingConfig  # noqa: E402
from polyfact_dataset.common.errors import ConfigError  # noqa: E402
from tests.support.training_runs import settings, trace  # noqa: E402

# Directions in degrees: Paris and its names lie together, Rome 60 degrees off, noise opposite.
ANGLES = {"Paris": 0, "Paris!": 10, "Rome": 60, "parisi": 5, "Roma": 70, "Kairo": 180, "パリ": 2, "ローマ": 65}


def encode(texts: Sequence[str]) -> np.ndarray:
    turns = [math.radians(ANGLES[text]) for text in texts]
    return np.array([[math.cos(turn), math.sin(turn)] for turn in turns], np.float32)


def table(rows: Sequence[tuple[str, str, str]]) -> pa.Table:
    return pa.table(dict(zip(("fact_id", "language", "text"), map(list, zip(*rows)))))


def test_the_pivot_is_the_most_like_the_others() -> None:
    # Mean cosine to the others: 0 degrees .742, 10 degrees .814, 60 degrees .571.
    assert pivot_of(encode(["Paris", "Paris!", "Rome"])) == 1
    assert pivot_of(encode(["Rome"])) == 0
    assert pivot_of(encode(["Rome", "Rome"])) == 0


def test_pairs_by_hand() -> None:
    answers = [
        *[("f", "en", text) for text in ("Paris", "Rome", "Paris!", "")],
        *[("f", "sw", text) for text in ("Roma", "parisi", "Kairo")],
        *[("f", "ja", text) for text in ("パリ", "ローマ", "パリ")],
        *[("f", "de", text) for text in ("Paris", "Paris!")],  # one answer, in two writings
        ("f", "bn", ""),
        *[("g", "sw", text) for text in ("Roma", "Kairo")],  # no English answer
    ]
    found = [tuple(row.values()) for row in pairs_of(table(answers), encode).to_pylist()]
    assert found == [("f", "sw", "Paris!", "parisi", "Kairo"), ("f", "ja", "Paris!", "パリ", "ローマ")]
    assert len(pairs_of(table([("g", "sw", "Roma")]), encode)) == 0


def test_the_encoder_does_not_see_padding(tiny: Callable[[str], Path]) -> None:
    encoder = load_encoder(str(tiny("qwen2")), batch=2)
    texts = ["Paris", "a much longer text about the river Seine", "Roma"]
    together = encoder(texts)
    alone = np.concatenate([encoder([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_preferences_continue_the_prompt_that_was_sampled(release: Path) -> None:
    facts = load(release, "clean", "train", ("en", "zh")).sample(2)
    rows = [(facts[1].fact_id, "zh", "x", "甲", "乙")]
    pairs = pa.table(dict(zip(("fact_id", "language", "pivot", "chosen", "rejected"), map(list, zip(*rows)))))
    asked = item_prompt("choose", "zh", facts[1].items["zh"])
    assert preferences(facts, pairs, SamplingConfig()) == {
        "prompt": [asked.text],
        "chosen": [asked.separator + "甲"],
        "rejected": [asked.separator + "乙"],
    }


def test_a_run_prefers_what_was_chosen(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    config = settings(tiny("qwen2"), release, tmp_path, optimisation__epochs=3, dataset__max_facts=6)
    config |= {"encoder": str(tiny("qwen2")), "sampling": {"samples": 3, "max_new_tokens": 3, "temperature": 2.0}}
    final = train(CmAlignConfig.model_validate({**config, "gamma": 0.1}))
    margins = list(trace(tmp_path, "rewards/margins").values())
    assert margins[0] == pytest.approx(0, abs=1e-6), "the reference is the model that the run starts from"
    assert margins[-1] > 0.05
    assert (final / "adapter_model.safetensors").is_file() and (tmp_path / "pairs.parquet").is_file()


def test_the_reference_is_of_the_same_revision(
    release: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all weights are trained, TRL loads the model again as the reference."""
    import trl.trainer.dpo_trainer as library

    asked = []

    def load_reference(name: str, **named: Any) -> Any:
        asked.append((name, named.get("revision")))
        return AutoModelForCausalLM.from_pretrained(name)

    monkeypatch.setattr(library, "create_model_from_path", load_reference)
    config = settings(tiny("qwen2"), release, tmp_path, lora=None, model__revision="v2")
    checked = CmAlignConfig.model_validate({**config, "encoder": "e"})
    make_trainer(Run.start(checked), checked, {"prompt": ["a"], "chosen": [" b"], "rejected": [" c"]})
    assert asked == [(str(tiny("qwen2")), "v2")]


def test_what_has_no_pivot_is_refused(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    config = {**settings(tiny("qwen2"), release, tmp_path / "a"), "encoder": "e"}
    with pytest.raises(ValidationError, match="pivot de must be in dataset.languages"):
        CmAlignConfig.model_validate({**config, "pivot": "de"})
    with pytest.raises(ValidationError, match="samples must be at least 2"):
        CmAlignConfig.model_validate({**config, "sampling": {"samples": 1}})
    dataset = {**config["dataset"], "languages": None, "held_out": ["en"]}
    with pytest.raises(ConfigError, match="pivot en is not among the languages"):
        train(CmAlignConfig.model_validate({**config, "dataset": dataset}))
