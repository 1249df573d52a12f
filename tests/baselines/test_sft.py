"""SFT: equation 3 against NumPy, the batch against plain prompts, accumulation, and two processes against one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines.data import load  # noqa: E402
from baselines.prompts import LETTERS, item_prompt  # noqa: E402
from baselines.sft import Collator, SftConfig, equation3, option_scores, train  # noqa: E402
from baselines.training import trainable  # noqa: E402
from polyfact_dataset.common.errors import DataError  # noqa: E402
from tests.support.training_runs import difference, launch, settings, trace, write_config  # noqa: E402


def by_hand(scores: np.ndarray, gold: np.ndarray, consistency: float) -> float:
    """Equation 3, term by term."""
    total = 0.0
    for fact in range(len(scores)):
        powers = np.exp(scores[fact])
        p = powers / powers.sum(axis=1, keepdims=True)
        mean = p.mean(axis=0)
        languages = len(p)
        answer = -sum(math.log(p[one, gold[fact, one]]) for one in range(languages)) / languages
        pull = sum(float((p[one] * np.log(p[one] / mean)).sum()) for one in range(languages)) / languages
        total += answer + consistency * pull
    return total / len(scores)


@pytest.mark.parametrize("consistency", [0.0, 0.5, 2.0])
def test_equation_3(consistency: float) -> None:
    random = np.random.default_rng(0)
    scores, gold = random.normal(size=(3, 5, 4)) * 3, random.integers(0, 4, (3, 5))
    loss, answer, pull = equation3(torch.tensor(scores), torch.tensor(gold), consistency)
    assert float(loss) == pytest.approx(by_hand(scores, gold, consistency), rel=1e-5)
    assert float(answer.mean() + consistency * pull.mean()) == pytest.approx(float(loss), rel=1e-6)


def test_no_gradient_goes_through_the_mean() -> None:
    random = np.random.default_rng(1)
    start, gold = random.normal(size=(1, 3, 4)), torch.zeros((1, 3), dtype=torch.long)
    scores = torch.tensor(start, requires_grad=True)
    equation3(scores, gold, 1.0)[0].backward()
    powers = np.exp(start[0])
    p = powers / powers.sum(axis=1, keepdims=True)
    mean = p.mean(axis=0)
    # d/ds of -log p_y is p - onehot; of KL(p || m) with m held it is p * (log(p/m) - KL). Both over L languages.
    ratio = np.log(p / mean)
    pull = p * (ratio - (p * ratio).sum(axis=1, keepdims=True))
    onehot = np.eye(4)[np.zeros(3, int)]
    np.testing.assert_allclose(scores.grad[0].numpy(), (p - onehot + pull) / 3, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["qwen2", "olmo2"])
def test_scores_are_those_of_plain_prompts(family: str, release: Path, tiny: Callable[[str], Path]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny(family)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    facts = list(load(release, "clean", "train", ("en", "zh", "bn"))[:3])
    collator = Collator(tokenizer, ("en", "zh", "bn"), "entities", 1024)
    batch = collator(facts)
    with torch.inference_mode():
        scores = option_scores(network, batch)
    for number, fact in enumerate(facts):
        assert len(set(batch["gold"][number].tolist())) == 1, "the gold is one entity in all languages"
        for place, (code, item) in enumerate(fact.items.items()):
            asked = item_prompt("letters", code, item)
            by_entity = {}
            for letter, entity in zip(LETTERS, item.option_ids):
                ids = tokenizer(asked.text + asked.separator + letter, return_tensors="pt")["input_ids"]
                with torch.inference_mode():
                    by_entity[entity] = float(network(ids).logits[0, -2, ids[0, -1]])
            wanted = [by_entity[entity] for entity in sorted(by_entity)]
            assert scores[number, place].tolist() == pytest.approx(wanted, abs=1e-4)
            assert sorted(by_entity)[int(batch["gold"][number, place])] == fact.object_id


def test_letters_are_averaged_as_they_stand_if_asked(release: Path, tiny: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("qwen2"))
    fact = load(release, "clean", "train", ("en", "de"))[0]
    batch = Collator(tokenizer, ("en", "de"), "letters", 1024)([fact])
    assert batch["gold"][0].tolist() == [item.answer for item in fact.items.values()]
    assert [tokenizer.decode(row).strip() for row in batch["letters"][0, 0].tolist()] == list(LETTERS)


def test_a_prompt_that_is_too_long_is_named(release: Path, tiny: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer

    fact = load(release, "clean", "train", ("en",))[0]
    with pytest.raises(DataError, match=rf"fact {fact.fact_id.replace('|', '.')} in en: the prompt has \d+ tokens"):
        Collator(AutoTokenizer.from_pretrained(tiny("qwen2")), ("en",), "entities", 16)([fact])


def test_the_loss_falls_and_accumulation_changes_nothing(
    release: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64: Adam's steps do not get smaller with the gradient, so they would show the rounding of float32."""
    real = trainable._with_adapter
    monkeypatch.setattr(trainable, "_with_adapter", lambda network, config: real(network.double(), config))
    made = []
    for batch, accumulation in ((1, 8), (8, 1)):
        folder = tmp_path / f"{batch}x{accumulation}"
        config = settings(
            tiny("qwen2"), release, folder, optimisation__batch=batch, optimisation__epochs=6, dataset__max_facts=8
        )
        config["optimisation"]["accumulation"] = accumulation
        made.append(train(SftConfig.model_validate(config)))
    assert difference(*made) < 1e-12
    for name in ("loss", "loss_answer", "loss_consistency", "accuracy_ja", "grad_norm"):
        one, other = (trace(folder.parent, name) for folder in made)
        assert one.keys() == other.keys() and len(one) == 6
        assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-6)
    losses = list(trace(made[0].parent, "loss").values())
    assert losses[-1] < losses[0] - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2])
def test_two_processes_are_as_one(processes: int, release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """With each process holding whole facts: the consistency term needs all their languages."""
    changes: dict[str, Any] = {"consistency": 2.0, "evaluation__steps": 4, "optimisation__max_steps": 4}
    changes["optimisation__batch"] = processes
    alone = train(SftConfig.model_validate(settings(tiny("qwen2"), release, tmp_path / "one", **changes)))
    changes["optimisation__batch"] = 1
    file = write_config(tmp_path / "two.yaml", settings(tiny("qwen2"), release, tmp_path / "two", **changes))
    result = launch(processes, "baselines.sft", "--config", file)
    assert result.returncode == 0, result.stderr[-3000:]
    assert difference(alone, tmp_path / "two" / "final") < 1e-5
    for name in ("loss_consistency", "accuracy_sw", "eval_paper_mean_accuracy", "num_input_tokens_seen"):
        one, other = trace(tmp_path / "one", name), trace(tmp_path / "two", name)
        assert one.keys() == other.keys()
        assert list(one.values()) == pytest.approx(list(other.values()), abs=1e-5), name
