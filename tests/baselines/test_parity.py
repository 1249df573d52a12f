"""The probe of a rollout engine: its log-probabilities against the trainer's, with the engine's model exchanged.

A scripted engine takes vLLM's place in TRL: it completes prompts with some network, and reports that network's
log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from trl import GRPOTrainer  # noqa: E402

from baselines.grpo import GrpoConfig, make_trainer  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from polyfact_dataset.common.errors import DataError  # noqa: E402
from tests.support.training_runs import settings  # noqa: E402

TEMPERATURE = 0.7


@pytest.fixture
def trainer(tiny: Callable[[str], Path], release: Path, tmp_path: Path) -> Any:
    """A trainer before its first step, in three languages."""
    found = settings(tiny("qwen2"), release, tmp_path / "run", dataset__max_facts=2, optimisation__batch=6)
    found["rollouts"] = {"generations": 2, "max_new_tokens": 4, "max_prompt_tokens": 2000, "min_feasible": 0}
    config = GrpoConfig.model_validate(found)
    made = make_trainer(Run.start(config), config)
    made.current_gradient_accumulation_steps = 1
    return made


@pytest.fixture
def base(tiny: Callable[[str], Path]) -> Any:
    """The model that the trainer's adapter is on."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny("qwen2"))


def engine_of(network: Any) -> Callable[..., Any]:
    """What TRL's trainer does with vLLM: greedy completions of two tokens and a line end, with their probabilities."""

    def generate(trainer: Any, prompts: list[list[int]], *_: Any, **__: Any) -> Any:
        line_end = trainer.processing_class("\n", add_special_tokens=False)["input_ids"]
        completions, logprobs = [], []
        for prompt in prompts:
            completion: list[int] = []
            for _ in range(2):
                completion.append(int(network(torch.tensor([prompt + completion])).logits[0, -1].argmax()))
            completion += line_end
            logits = network(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / TEMPERATURE
            chosen = logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]
            completions.append(completion)
            logprobs.append(chosen.tolist())
        return completions, logprobs

    return torch.no_grad()(generate)  # type: ignore[no-any-return]


def rollouts(trainer: Any, network: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[int]], Any]:
    """The trainer's first completions from a scripted engine."""
    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", engine_of(network.eval()))
    trainer.use_vllm = True
    prompts = [trainer.processing_class(text)["input_ids"] for text in ("Where is Rome?", "Wo liegt Paris?")]
    found: tuple[list[list[int]], Any] = trainer._generate_single_turn(prompts, None, {}, 2)
    return found


def weights_of(trainer: Any) -> list[Any]:
    return [weight.detach().clone() for weight in trainer.model.parameters() if weight.requires_grad]


def test_an_engine_with_the_trainers_weights_passes(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_of(trainer)
    completions, logprobs = rollouts(trainer, trainer.model, monkeypatch)
    assert all(len(tokens) == len(values) for tokens, values in zip(completions, logprobs))
    # With the weights as they are, with perturbed ones, and at the generation itself.
    assert trainer._metrics["train"]["parity"] == pytest.approx([0, 0, 0], abs=1e-4)
    assert all(torch.equal(old, new) for old, new in zip(before, weights_of(trainer)))


def test_an_exchanged_model_is_found(trainer: Any, base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * weight.std())
    with pytest.raises(DataError, match="step 0: .* it does not run the weights that are trained"):
        rollouts(trainer, base, monkeypatch)
    assert len(trainer._metrics["train"]["parity"]) == 1


def test_an_engine_that_gets_no_new_weights_is_found(trainer: Any, base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the base model: right while the fresh adapter has no effect, which it has when it is perturbed."""
    before = weights_of(trainer)
    with pytest.raises(DataError, match="it does not run the weights that are trained"):
        rollouts(trainer, base, monkeypatch)
    first, second = trainer._metrics["train"]["parity"]
    assert first == pytest.approx(0, abs=1e-4) and second > 0.2
    assert all(torch.equal(old, new) for old, new in zip(before, weights_of(trainer)))


def test_other_sampling_settings_are_found(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probabilities before the temperature, as vLLM reports them by default, are others."""
    monkeypatch.setattr(f"{__name__}.TEMPERATURE", 0.1)
    with pytest.raises(DataError, match="--logprobs-mode processed_logprobs"):
        rollouts(trainer, trainer.model, monkeypatch)
