"""A run: kill and resume against one that was never stopped, the schedule, the order of checkpoint and evaluation."""

from __future__ import annotations

import errno
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines import sft  # noqa: E402
from baselines.sft import SftConfig, make_trainer, train  # noqa: E402
from baselines.training.checkpoints import checkpoints, last_checkpoint  # noqa: E402
from baselines.training.loop import fit  # noqa: E402
from baselines.training.randomness import same_randomness  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from baselines.training.run_lock import disk_errors  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError  # noqa: E402
from polyfact_dataset.common.files import read_json, remove, write_json  # noqa: E402
from tests.baselines import processes  # noqa: E402
from tests.support.training_runs import difference, log_of, settings, trace, weights, write_config  # noqa: E402

# Two epochs of 8 steps; dropout, so that random numbers matter; checkpoints at 4, 8, 12 and 16.
CHANGES = {
    "optimisation__epochs": 2,
    "lora": {"r": 4, "alpha": 8, "dropout": 0.2},
    "evaluation__steps": 8,
    "dataset__held_out": ["de"],
}


@pytest.fixture(scope="module")
def config(release: Path, tiny: Callable[[str], Path]) -> Callable[..., SftConfig]:
    def get(folder: Path, **changes: Any) -> SftConfig:
        return SftConfig.model_validate(settings(tiny("qwen2"), release, folder, **{**CHANGES, **changes}))

    return get


@pytest.fixture(scope="module")
def whole(config: Callable[..., SftConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(config(folder))
    return folder


class Killed(BaseException):
    """No error that anything would handle."""


def train_until(config: SftConfig, step: int) -> None:
    """A run that ends in the middle of everything after the step."""
    from transformers import TrainerCallback

    class Killer(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                raise Killed

    run = Run.start(config)
    trainer = make_trainer(run, config, run.facts())  # type: ignore[arg-type]
    trainer.add_callback(Killer())
    with pytest.raises(Killed):
        fit(run, trainer)


def same(first: Path, second: Path) -> None:
    """Asserts that two runs are one: final weights, and every logged value that does not measure time."""
    assert difference(first / "final", second / "final") == 0.0
    lines = [
        [{key: value for key, value in line.items() if "second" not in key and "runtime" not in key} for line in log]
        for log in (log_of(first), log_of(second))
    ]
    # The last line sums up a session, with the mean loss over its own steps.
    assert lines[0][:-1] == lines[1][:-1] and len(lines[0]) == 16 + 3 + 1


@pytest.mark.parametrize("step", [3, 6, 13])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    step: int, whole: Path, config: Callable[..., SftConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first checkpoint, in the first epoch, in the second one."""
    train_until(config(tmp_path / "run"), step)
    assert read_json(tmp_path / "run" / "run.json")["status"] == "running"
    assert not capsys.readouterr().out
    train(config(tmp_path / "run"))
    assert capsys.readouterr().out == f"adapter of sft in {tmp_path / 'run' / 'final'}\n"
    same(whole, tmp_path / "run")


@pytest.mark.slow
def test_a_process_that_is_killed_in_earnest(
    whole: Path, config: Callable[..., SftConfig], tmp_path: Path, release: Path, tiny: Callable[[str], Path]
) -> None:
    folder = tmp_path / "run"
    file = write_config(tmp_path / "a.yaml", settings(tiny("qwen2"), release, folder, **CHANGES))
    command = processes.start(tmp_path / "killed", "baselines.sft", "--config", file)
    while command.process.is_alive() and not (folder / "checkpoint-4" / "complete").is_file():
        time.sleep(0.01)
    command.process.kill()
    assert command.wait() == -signal.SIGKILL, command.stderr
    assert last_checkpoint(folder)
    train(config(folder))
    same(whole, folder)


def test_a_half_written_checkpoint_is_passed_over(
    whole: Path, config: Callable[..., SftConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train_until(config(folder), 9)
    (folder / "checkpoint-8" / "complete").unlink()
    (folder / "checkpoint-8" / "adapter_model.safetensors").write_bytes(b"half")
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 9, "lo')
    assert last_checkpoint(folder) == folder / "checkpoint-4"
    train(config(folder))
    same(whole, folder)
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-12", "checkpoint-16"]


def test_a_checkpoint_comes_before_its_evaluation(
    whole: Path, config: Callable[..., SftConfig], tmp_path: Path
) -> None:
    """What fails in an evaluation costs no step, and the evaluation is made up for."""
    settings = config(tmp_path / "run")
    run = Run.start(settings)

    def fail(step: int) -> dict[str, float]:
        if step:
            raise Killed
        return {}

    run.evaluators.append(fail)
    with pytest.raises(Killed):
        fit(run, make_trainer(run, settings, run.facts()))
    assert last_checkpoint(settings.output.folder) == settings.output.folder / "checkpoint-8"
    assert 8 not in trace(settings.output.folder, "eval_paper_mean_accuracy")
    train(settings)
    same(whole, settings.output.folder)


def test_evaluating_does_not_change_the_training(whole: Path, config: Callable[..., SftConfig], tmp_path: Path) -> None:
    final = train(config(tmp_path / "run", evaluation__steps=None))
    assert difference(whole / "final", final) == 0.0
    assert not (tmp_path / "run" / "evaluations").exists()


def test_the_last_step_is_evaluated_whatever_its_number(config: Callable[..., SftConfig], tmp_path: Path) -> None:
    train(config(tmp_path / "run", optimisation__max_steps=2))
    assert trace(tmp_path / "run", "eval_paper_mean_accuracy").keys() == {0, 2}


def test_the_learning_rate_follows_its_schedule(whole: Path) -> None:
    """Linear warm-up over a quarter of 16 steps, then half a cosine; the rate of a step is that after the last one."""
    expected = {
        step: 0.005 * ((step - 1) / 4 if step <= 4 else 0.5 * (1 + math.cos(math.pi * (step - 1 - 4) / 12)))
        for step in range(1, 17)
    }
    assert trace(whole, "learning_rate") == pytest.approx(expected, abs=1e-12)


def test_the_figures_are_those_of_the_evaluator(whole: Path, release: Path, tmp_path: Path) -> None:
    from baselines.data import load
    from baselines.evaluate import mcq
    from baselines.evaluate.common import Run as Evaluation
    from baselines.evaluate.options import ModelOptions, RunOptions

    facts = load(release, "clean", "validation", ("en", "ja", "sw")).sample(4, 42)
    target = RunOptions(output=tmp_path / "r.json", quiet=True)
    result = mcq.evaluate(Evaluation.start(target, ModelOptions(model=str(whole / "final"))), facts)
    assert result is not None
    record = read_json(whole / "run.json")
    found = {name.removeprefix("paper_"): value for name, value in record["evaluation"].items()}
    for name, value in found.items():
        kind = name.removeprefix("sum_")
        measured = result.metrics["byte" if kind == name else "sum"]
        if kind.startswith("accuracy_"):
            assert value == pytest.approx(measured["accuracy"][kind.removeprefix("accuracy_")]), name
        elif not kind.startswith("held_out"):
            assert value == pytest.approx(measured[kind]), name
    assert {"rankc", "accuracy_ja", "sum_total_consistency", "sum_accuracy_ja"} <= found.keys()
    # One held-out language has an accuracy and no consistency.
    assert {"held_out_accuracy_de", "held_out_sum_mean_accuracy"} <= found.keys()
    assert not any("held_out" in name and "consistency" in name for name in found)


def test_the_record_of_a_run(whole: Path, release: Path) -> None:
    from baselines.data import load

    record = read_json(whole / "run.json")
    assert record["status"] == "finished" and record["method"] == "sft"
    assert record["cost"]["steps"] == 16 and record["cost"]["epochs"] == 2 and record["cost"]["device"] == "cpu"
    assert record["cost"]["input_tokens"] == trace(whole, "num_input_tokens_seen")[16] > 1000
    assert 0 < record["cost"]["evaluating_s"] < record["cost"]["seconds"]
    facts = load(release, "clean", "train", ("en", "ja", "sw")).sample(16, 42)
    assert record["compared"]["data"]["train"]["digests"] == facts.digests
    assert record["compared"]["config"]["lora"]["r"] == 4
    assert record["trained_parameters"] == sum(tensor.numel() for tensor in weights(whole / "final").values())
    assert {"torch", "transformers", "trl", "peft"} <= record["software"].keys()
    assert read_json(whole / "final" / "training.json")["cost"] == record["cost"]


def test_all_weights_can_be_trained(config: Callable[..., SftConfig], tmp_path: Path) -> None:
    final = train(config(tmp_path / "run", lora=None, evaluation__steps=None, optimisation__max_steps=2))
    record = read_json(tmp_path / "run" / "run.json")
    assert record["trained_parameters"] == record["parameters"]
    assert (final / "model.safetensors").is_file() and trace(tmp_path / "run", "loss").keys() == {1, 2}


def test_what_cannot_go_on_is_refused(whole: Path, config: Callable[..., SftConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a finished run"):
        Run.start(config(whole))
    train_until(config(tmp_path / "run"), 5)
    other = config(tmp_path / "run", optimisation__learning_rate=0.1)
    with pytest.raises(ConfigError, match=r"run with other config.optimisation.learning_rate; choose"):
        train(other)
    with pytest.raises(
        ConfigError, match=r"other config.dataset.max_facts, data.train.digests, data.train.facts; choose"
    ):
        train(config(tmp_path / "run", dataset__max_facts=12))
    train(config(tmp_path / "run", output__log_steps=2))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="holds files that are not of a run"):
            Run.start(config(tmp_path / "thesis"), overwrite)
    assert (tmp_path / "thesis" / "chapter.tex").is_file()
    with pytest.raises(ConfigError, match="final is an adapter; merge it first"):
        Run.start(config(tmp_path / "a", model__name=str(whole / "final")))
    with pytest.raises(DataError, match="less than one batch"):
        train(config(tmp_path / "b", dataset__max_facts=1))
    with pytest.raises(ConfigError, match="output.report_to: no_such_thing is unknown or not installed"):
        Run.start(config(tmp_path / "d", output__report_to=["no_such_thing"]))
    with pytest.raises(ConfigError, match="lora.target_modules"):
        Run.start(config(tmp_path / "c", lora={"target_modules": ["no_such_layer"]}))


@pytest.mark.slow
def test_two_runs_do_not_share_a_folder(config: Callable[..., SftConfig], tmp_path: Path) -> None:
    """A process holds its run's folder until the run ends, well or not, also against `--overwrite`."""
    path = write_config(tmp_path / "c.yaml", config(tmp_path / "run").model_dump(mode="json"))
    command = ("baselines.sft", "--config", path)
    Run.start(config(tmp_path / "run"))
    Run.start(config(tmp_path / "run"))
    for more in ([], ["--overwrite"]):
        found = processes.start(tmp_path / "refused", *command, *more)
        assert found.wait() == 2 and "another run is active in" in found.stderr
        assert (tmp_path / "run" / "run.json").is_file()
    train_until(config(tmp_path / "run"), 5)
    found = processes.start(tmp_path / "resumed", *command)
    assert found.wait() == 0, found.stderr
    first = f"sft: steps 4 to 16 in 1 process on cpu; log in {tmp_path / 'run' / 'log.jsonl'}"
    assert found.stderr.splitlines()[0] == first
    assert found.stdout == f"adapter of sft in {tmp_path / 'run' / 'final'}\n"


def test_a_loss_that_is_no_number_stops_the_run(
    config: Callable[..., SftConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the checkpoint at the latest, which is not written."""
    loss = sft.equation3
    calls = 0

    def broken(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        found = loss(*arguments)
        return (found[0] * math.nan, *found[1:]) if calls == 6 else found

    monkeypatch.setattr(sft, "equation3", broken)
    with pytest.raises(DataError, match=r"run: loss is not finite at step 8; restart"):
        train(config(tmp_path / "run", output__log_steps=10))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-4"]


def test_means_of_the_log_are_those_of_a_run_that_was_not_killed(
    config: Callable[..., SftConfig], tmp_path: Path
) -> None:
    """Lines every 3 steps, checkpoints every 4: the 6th step's line tells of steps 5 and 6 in both."""
    changes = {"output__log_steps": 3, "evaluation__steps": None, "optimisation__epochs": 1}
    train(config(tmp_path / "whole", **changes))
    train_until(config(tmp_path / "killed", **changes), 5)
    train(config(tmp_path / "killed", **changes))
    for name in ("loss", "loss_answer", "loss_consistency", "accuracy_sw"):
        assert trace(tmp_path / "whole", name) == trace(tmp_path / "killed", name)
    assert list(trace(tmp_path / "whole", "loss")) == [1, 3, 4, 6, 8]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said(
    error: Exception, config: Callable[..., SftConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.start(config(tmp_path / "run"))
    trainer = make_trainer(run, config(tmp_path / "run"), run.facts())  # type: ignore[arg-type]

    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(trainer, "_save_checkpoint", full)
    with pytest.raises(RetryableError, match="run: the disk is full; free disk space"):
        fit(run, trainer)


def test_other_errors_are_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="^a bug$"), disk_errors(tmp_path):
        raise RuntimeError("a bug")


def test_a_kill_while_the_final_model_is_written(config: Callable[..., SftConfig], tmp_path: Path) -> None:
    changes = {"evaluation__steps": None, "optimisation__epochs": 1}
    final = train(config(tmp_path / "run", **changes))
    before, log = weights(final), log_of(tmp_path / "run")
    remove(final)
    write_json(tmp_path / "run" / "run.json", {**read_json(tmp_path / "run" / "run.json"), "status": "running"})
    train(config(tmp_path / "run", **changes))
    assert all(torch.equal(before[name], value) for name, value in weights(final).items())
    assert [line["step"] for line in log_of(tmp_path / "run")] == [line["step"] for line in log]
    assert read_json(tmp_path / "run" / "run.json")["status"] == "finished"


def test_a_final_folder_has_no_empty_form(whole: Path) -> None:
    assert not (whole / "final" / "README.md").exists()


def test_randomness_is_left_as_it_was() -> None:
    import random

    import numpy as np

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    with same_randomness():
        random.random(), np.random.rand(), torch.rand(1)
    found = (random.random(), np.random.rand(), float(torch.rand(1)))
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    assert found == (random.random(), np.random.rand(), float(torch.rand(1)))
