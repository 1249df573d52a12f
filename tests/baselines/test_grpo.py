"""GRPO: the loss by hand, advantages over languages, bucketing, processes, resume, and its guards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines import grpo  # noqa: E402
from baselines.answer_lines import answer_line  # noqa: E402
from baselines.data import load, load_open  # noqa: E402
from baselines.grpo import GrpoConfig, build_rows, make_trainer, train  # noqa: E402
from baselines.rewards import RewardConfig, Verdict, rollout_rewards  # noqa: E402
from baselines.sampler import batch_facts  # noqa: E402
from baselines.training.arguments import derive_batch  # noqa: E402
from baselines.training.config import load_config  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError  # noqa: E402
from tests.baselines import processes  # noqa: E402
from tests.support.grpo_worker import HashJudge  # noqa: E402
from tests.support.training_runs import difference, log_of, settings, trace, write_config  # noqa: E402

LANGUAGES = ("en", "ja", "sw")
G = 4
BLOCK = len(LANGUAGES) * G


def config_of(model: Path, release: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """2 facts a step, 4 facts, no dropout."""
    found = settings(model, release, folder, dataset__max_facts=4)
    found["optimisation"] |= {"batch": 2 * BLOCK, "max_steps": 5, "epochs": 9, "gradient_checkpointing": False}
    found["rollouts"] = {"generations": G, "max_new_tokens": 5, "max_prompt_tokens": 2000, "min_feasible": 0}
    found["sample_steps"] = 2
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            found[section] = {**found.get(section, {}), key: value}
        else:
            found[section] = value
    return found


@pytest.fixture
def make(
    tiny: Callable[[str], Path], release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """A configuration whose answers are judged by a hash."""
    monkeypatch.setattr(grpo, "OptionJudge", HashJudge)
    return lambda name="run", **changes: config_of(tiny("qwen2"), release, tmp_path / name, **changes)


@pytest.fixture(scope="module")
def whole(tiny: Callable[[str], Path], release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final model of a run of one process, without accumulation; tests must not write into its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "OptionJudge", HashJudge)
        config = config_of(tiny("qwen2"), release, tmp_path_factory.mktemp("grpo") / "whole")
        return train(GrpoConfig.model_validate(config))


def generated(config: dict[str, Any]) -> tuple[Any, dict[str, Any], list[dict[str, Any]]]:
    """A trainer, and its first generation batch before it is cut, with the rows that it came from."""
    checked = GrpoConfig.model_validate(config)
    trainer = make_trainer(Run.start(checked), checked)
    trainer.model.train()
    with torch.no_grad():  # a fresh adapter changes nothing
        for name, weight in trainer.model.named_parameters():
            if "lora_B.default" in name:
                weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(len(name)))
    trainer.current_gradient_accumulation_steps = 1
    inputs = next(iter(trainer.get_train_dataloader()))
    return trainer, trainer._generate_and_score_completions(inputs), inputs


def answers_in(trainer: Any, batch: dict[str, Any]) -> list[list[int]]:
    """The completions' tokens without padding."""
    return [ids[mask.bool()].tolist() for ids, mask in zip(batch["completion_ids"], batch["completion_mask"])]


def test_advantages_are_z_scores_of_the_pooled_reward_equal_in_all_languages(make: Callable[..., Any]) -> None:
    trainer, batch, inputs = generated(make())
    config = GrpoConfig.model_validate(make())
    texts = trainer.processing_class.batch_decode(answers_in(trainer, batch), skip_special_tokens=True)
    found = batch["advantages"].view(2, len(LANGUAGES), G).numpy()
    judge = HashJudge(None)
    for fact in range(2):
        rows = inputs[fact * BLOCK : (fact + 1) * BLOCK]
        assert [row["language"] for row in rows] == [code for code in LANGUAGES for _ in range(G)]
        pooled = []
        for rollout in range(G):
            places = [fact * BLOCK + place * G + rollout for place in range(len(LANGUAGES))]
            verdicts = [judge(rows[0]["row"], inputs[p]["language"], answer_line(texts[p])) for p in places]
            pooled.append(rollout_rewards(verdicts, config.reward)[1][0])
        wanted = (np.array(pooled) - np.mean(pooled)) / (np.std(pooled, ddof=1) + 1e-4)
        for place in range(len(LANGUAGES)):
            np.testing.assert_allclose(found[fact, place], wanted, atol=1e-4)
    assert np.abs(found).max() > 0.1


def logprobs(network: Any, prompt: list[int], completion: list[int], temperature: float) -> Any:
    """Of each token of a completion, from one sequence alone."""
    with torch.no_grad():
        logits = network(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    return (logits / temperature).log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]


def test_the_loss_and_its_kl_term_by_hand(make: Callable[..., Any]) -> None:
    beta = 0.3
    trainer, batch, _ = generated(make(loss={"beta": beta}))
    loss = trainer.compute_loss(trainer.model, batch).item()
    network = trainer.model.eval()
    terms, kls = [], []
    for row in range(len(batch["prompt_ids"])):
        prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()].tolist()
        completion = batch["completion_ids"][row][batch["completion_mask"][row].bool()].tolist()
        own = logprobs(network, prompt, completion, 0.7)
        with network.disable_adapter():
            reference = logprobs(network, prompt, completion, 0.7)
        ratio = reference - own
        k3 = ratio.exp() - ratio - 1
        kls += k3.tolist()
        # On policy the ratio of the clipped term is 1, so its value is the advantage.
        terms.append(-batch["advantages"][row].item() + beta * k3.mean().item())
    assert min(kls) >= 0 and max(kls) > 1e-3
    assert loss == pytest.approx(np.mean(terms), abs=1e-4)
    assert trainer._metrics["train"]["kl"][-1] == pytest.approx(np.mean(kls), rel=1e-3)


def test_bucketing_saves_padding_and_keeps_the_gradient(make: Callable[..., Any]) -> None:
    from baselines.rollouts import micro_batches

    trainer, batch, _ = generated(make())
    order = np.random.default_rng(0).permutation(2 * BLOCK)
    gradients, padded = [], []
    for bucketing in (False, True):
        parts = micro_batches(batch, order, 6, 1, bucketing)
        trainer.model.zero_grad()
        for part in parts:
            (trainer.compute_loss(trainer.model, part) / len(parts)).backward()
        gradients.append({n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None})
        padded.append(sum(part["prompt_ids"].numel() + part["completion_ids"].numel() for part in parts))
    largest = max(float((gradients[0][name] - gradients[1][name]).abs().max()) for name in gradients[0])
    scale = max(float(value.abs().max()) for value in gradients[0].values())
    assert largest < 1e-4 * scale and scale > 0
    real = int(batch["prompt_mask"].sum() + batch["completion_mask"].sum())
    assert padded[1] < padded[0] and padded[1] < 1.15 * real


def test_each_optimiser_step_of_a_reused_generation_sees_all_lengths() -> None:
    from baselines.rollouts import micro_batches

    lengths = np.repeat([2, 9], 8)
    mask = torch.tensor([[int(9 - column <= length) for column in range(9)] for length in lengths])
    batch = {
        "prompt_ids": mask * 7,
        "prompt_mask": mask,
        "completion_ids": mask[:, -2:],
        "completion_mask": mask[:, -2:],
    }
    order = np.arange(16).reshape(2, 8).T.ravel()  # short and long rows by turns
    parts = micro_batches(batch, order, 4, 2, True)
    # Each of the two optimiser steps has a first micro-batch of short rows and a last one with long rows.
    widths = [part["prompt_ids"].shape[1] for part in parts]
    assert widths[0] == widths[2] == 2 and widths[1] == widths[3] == 9
    assert sum(int(part["prompt_mask"].sum()) for part in parts) == int(mask.sum())


def test_accumulation_changes_nothing(whole: Path, make: Callable[..., Any]) -> None:
    parts = make("parts")
    parts["optimisation"] |= {"batch": 3, "accumulation": 8}
    found = train(GrpoConfig.model_validate(parts))
    assert trace(whole.parent, "reward") == trace(found.parent, "reward")
    assert difference(whole, found) < 2e-5


@pytest.mark.slow
def test_two_processes_are_one(whole: Path, make: Callable[..., Any], tmp_path: Path) -> None:
    two = make("two")
    two["optimisation"]["batch"] = BLOCK
    file = write_config(tmp_path / "two.yaml", two)
    processes.run_several(2, tmp_path / "process", "tests.support.grpo_worker", "--config", file)
    assert trace(tmp_path / "two", "reward") == pytest.approx(trace(whole.parent, "reward"), abs=1e-6)
    assert difference(whole, tmp_path / "two" / "final") < 2e-5
    assert (tmp_path / "two" / "log.jsonl").read_text().count("device_hours") == 6


def test_a_killed_run_goes_on_bit_by_bit(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, in the third epoch, from a checkpoint in the middle of the second."""
    changes = {"lora__dropout": 0.1, "output__checkpoint_steps": 3}
    whole = train(GrpoConfig.model_validate(make("whole", **changes)))

    class Killed(Exception):
        pass

    class Killer(HashJudge):
        calls = 0

        def __call__(self, row: int, code: str, answer: str) -> Verdict:
            Killer.calls += 1
            if Killer.calls > 4 * 2 * BLOCK + 3:
                raise Killed
            return super().__call__(row, code, answer)

    config = GrpoConfig.model_validate(make("killed", **changes))
    monkeypatch.setattr(grpo, "OptionJudge", Killer)
    with pytest.raises(Killed):
        train(config)
    monkeypatch.setattr(grpo, "OptionJudge", HashJudge)
    resumed = train(config)
    assert difference(whole, resumed) == 0.0
    assert trace(whole.parent, "reward") == trace(resumed.parent, "reward")
    samples = [(folder.parent / "samples.jsonl").read_text() for folder in (whole, resumed)]
    assert samples[0] == samples[1]
    lines = [json.loads(line) for line in samples[0].splitlines()]
    assert [line["step"] for line in lines] == [0] * 6 + [2] * 6 + [4] * 6
    assert {line["language"] for line in lines} == set(LANGUAGES) and {line["rollout"] for line in lines} == {0, 1}


def test_what_is_logged(whole: Path) -> None:
    line = log_of(whole.parent)[1]
    outcomes = ("correct", "incorrect", "empty", "invalid", "wrong_language")
    assert sum(line[f"share/{name}"] for name in outcomes) == pytest.approx(1)
    assert line["share/hallucination"] == pytest.approx(sum(line[f"share/{name}"] for name in outcomes[2:]))
    assert {f"reward_by_language/{code}" for code in LANGUAGES} <= line.keys()
    assert line["grad_norm"] > 0 and line["num_tokens"] > 0 and line["device_hours"] > 0
    assert 0 <= line["frac_reward_zero_std"] <= 1


def test_a_run_without_variance_of_rewards_stops(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpo, "OptionJudge", lambda facts: lambda row, code, answer: Verdict("empty"))
    with pytest.raises(DataError, match=r"step 2: no variance of rewards in 3 generations.*100 % empty"):
        train(GrpoConfig.model_validate(make(patience=3)))
    assert len(log_of(tmp_path / "run")) == 2


def test_generations_without_variance_are_counted_over_a_kill(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat from the first generation on, killed at the fourth, two behind the checkpoint; the fifth is the last."""
    calls = 0

    class Killed(Exception):
        pass

    def flat(facts: Any) -> Callable[[int, str, str], Verdict]:
        def judge(row: int, code: str, answer: str) -> Verdict:
            nonlocal calls
            calls += 1
            if calls == 3 * 2 * BLOCK + 1:
                raise Killed
            return Verdict("empty")

        return judge

    monkeypatch.setattr(grpo, "OptionJudge", flat)
    config = GrpoConfig.model_validate(make(patience=5, output__checkpoint_steps=2))
    with pytest.raises(Killed):
        train(config)
    with pytest.raises(DataError, match="step 4: no variance of rewards in 5 generations"):
        train(config)


def test_free_answers(tiny: Callable[[str], Path], release: Path, tmp_path: Path) -> None:
    config = config_of(tiny("olmo2"), release, tmp_path / "run", prompt="free", patience=None)
    config["optimisation"] |= {"max_steps": 1}
    train(GrpoConfig.model_validate(config))
    sample = json.loads((tmp_path / "run" / "samples.jsonl").read_text().splitlines()[0])
    facts = {fact.fact_id for fact in load_open(release, "clean_open", "train", ["en"])}
    assert sample["fact"] in facts and sample["own"] == -0.5


def test_a_fact_with_a_long_prompt_is_left_out_in_all_languages(release: Path) -> None:
    class Words:
        def __call__(self, texts: list[str]) -> dict[str, list[list[str]]]:
            return {"input_ids": [text.split() for text in texts]}

    facts = load(release, "clean", "train", LANGUAGES)[:20]

    def texts(fact: Any) -> list[str]:
        return [prompt.text for prompt in grpo.prompts_of(fact, LANGUAGES)]

    lengths = [max(len(text.split()) for text in texts(fact)) for fact in facts]
    limit = sorted(lengths)[10]
    columns, too_long = build_rows(facts, LANGUAGES, Words(), limit, lambda prompt: prompt)
    kept = [row for row, length in enumerate(lengths) if length <= limit]
    assert too_long == 20 - len(kept) > 0
    assert columns["row"] == [row for row in kept for _ in LANGUAGES]
    assert columns["language"] == list(LANGUAGES) * len(kept)
    with pytest.raises(DataError, match="every fact has a prompt of more than 3 tokens"):
        build_rows(facts, LANGUAGES, Words(), 3, lambda prompt: prompt)


def test_a_batch_must_hold_whole_facts(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="3 languages x 4 generations = 12"):
        train(GrpoConfig.model_validate(make(optimisation__batch=8)))


CONFIGS = Path(grpo.__file__).parent / "configs"


@pytest.mark.parametrize("name", ["olmo2_7b_grpo", "olmo2_7b_cpt_grpo", "qwen2.5_7b_grpo", "qwen2.5_7b_cpt_grpo"])
def test_shipped_configurations_hold_the_values_of_table_4(name: str) -> None:
    config = load_config(GrpoConfig, CONFIGS / f"{name}.yaml")
    optimisation, rollouts = config.optimisation, config.rollouts
    languages = config.dataset.languages
    assert languages is not None and len(languages) == 12 and config.dataset.max_facts == 40000
    assert (optimisation.learning_rate, optimisation.schedule, optimisation.warmup) == (1e-5, "cosine", 0.03)
    assert (optimisation.weight_decay, optimisation.max_grad_norm, optimisation.epochs) == (0.01, 1.0, 1)
    assert (
        batch_facts(
            optimisation.batch, derive_batch(optimisation, "facts", 1, 96).accumulation, 1, 12, rollouts.generations
        )
        == 1
    )
    assert (rollouts.max_prompt_tokens, rollouts.max_new_tokens) == (512, 48)
    assert (rollouts.temperature, rollouts.top_p) == (0.7, 0.95)
    assert (rollouts.repetition_penalty, rollouts.no_repeat_ngram, rollouts.penalise) == (1.5, 3, "completion")
    assert config.reward == RewardConfig() and config.loss.beta == 0 and config.seed == 42
    assert config.lora is not None and (config.lora.r, config.lora.alpha, config.lora.dropout) == (64, 128, 0.05)
    assert config.evaluation.steps == 500 and config.output.folder == Path("runs") / name
    assert config.model.name.startswith("runs/") == ("cpt" in name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rollouts__engine": "vllm"}, "engine vllm counts the prompt"),
        ({"rollouts__vllm": {"vllm_mode": "server"}}, "vllm needs engine"),
        ({"rollouts__generations": 1}, "greater than or equal to 2"),
        ({"rollouts__iterations": 3}, "must not separate the steps of one generation"),
        ({"reward": {"bonus": -1}}, "greater than or equal to 0"),
        ({"rewards": {}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GrpoConfig.model_validate(config_of(tmp_path, tmp_path, tmp_path, **changes))
