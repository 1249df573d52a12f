"""Time and memory of a GRPO step with and without length bucketing: same model, same facts, same rollouts.

    OMP_NUM_THREADS=1 python benchmarks/grpo_bucketing.py --dataset build/release --steps 6

Runs alternate in separate processes, so that peak memory is measured for each. A step's time is split into generation
with its rewards, and the rest: forward and backward passes over the micro-batches, which bucketing is about. Padded
tokens are those of the micro-batches over those that are no padding.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer


def config_of(
    dataset: str, model: str, folder: Path, languages: list[str], batch: int, accumulation: int, steps: int, full: bool
) -> dict[str, Any]:
    """The settings of one run: one fact a step, 8 rollouts, as in the paper."""
    return {
        "model": {"name": model, "dtype": "bfloat16" if full else "float32"},
        "dataset": {"source": dataset, "config": "parallel", "languages": languages, "max_facts": 50},
        "optimisation": {
            **{"learning_rate": 1e-5, "batch": batch, "accumulation": accumulation, "max_steps": steps},
            **{"precision": "bf16" if full else "fp32", "gradient_checkpointing": full},
        },
        "evaluation": {"steps": None},
        "output": {"folder": str(folder), "checkpoint_steps": 10_000, "log_steps": 1},
        "rollouts": {"max_prompt_tokens": 4096, "max_new_tokens": 48 if full else 12},
        "patience": None,
    }


def measure(config: dict[str, Any]) -> dict[str, float]:
    """Runs one configuration in this process: seconds per step and its part for generation, peak memory, padding."""
    import torch

    from baselines.grpo import GrpoConfig, make_trainer
    from baselines.training.run import Run

    checked = GrpoConfig.model_validate(config)
    run = Run.start(checked, overwrite=True)
    trainer = make_trainer(run, checked)
    generating: list[float] = []
    sizes = {"padded": 0, "real": 0}
    generate, loss = trainer._generate_and_score_completions, trainer.compute_loss

    def timed(inputs: Any) -> Any:
        start = time.perf_counter()
        output = generate(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        generating.append(time.perf_counter() - start)
        return output

    def counted(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        sizes["padded"] += inputs["prompt_ids"].numel() + inputs["completion_ids"].numel()
        sizes["real"] += int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum())
        return loss(model, inputs, *rest, **named)

    trainer._generate_and_score_completions, trainer.compute_loss = timed, counted
    run.train(trainer)
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    steps = [line["step_time"] for line in lines if "step_time" in line]
    cuda = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # The first step warms up.
    step, generation = statistics.median(steps[1:]), statistics.median(generating[1:])
    return {"step": step, "generation": generation, "peak": float(peak), "padding": sizes["padded"] / sizes["real"]}


def main(
    dataset: Annotated[str, typer.Option(help="Release folder or Hub id.")] = "build/release",
    model: Annotated[str | None, typer.Option(help="A model instead of a tiny one; then in bfloat16.")] = None,
    languages: Annotated[str, typer.Option()] = "en,de,id,pt,ar,bn,sw,es,ru,fr,ja,zh",
    batch: Annotated[int, typer.Option(min=1, help="Completions of a micro-batch.")] = 8,
    steps: Annotated[int, typer.Option(min=2)] = 6,
    rounds: Annotated[int, typer.Option(min=1)] = 2,
    hidden: Annotated[int, typer.Option(min=8, help="Width of the tiny model.")] = 128,
    config: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print the table of benchmarks/lab.md."""
    if config:
        print(json.dumps(measure(json.loads(config.read_text()))))
        return
    from baselines import tiny
    from baselines.data import load

    codes = languages.split(",")
    rows = 8 * len(codes)
    measured: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not model:
            lines = tiny.texts(load(dataset, "parallel", "train").sample(200))
            tiny.make("qwen2", folder / "tiny", lines, 2048, hidden)
        for number in range(rounds):
            for bucketing in (False, True) if number % 2 == 0 else (True, False):
                settings = config_of(
                    dataset,
                    model or str(folder / "tiny"),
                    folder / "run",
                    codes,
                    batch,
                    rows // batch,
                    steps,
                    bool(model),
                )
                settings["rollouts"]["bucketing"] = bucketing
                path = folder / "config.json"
                path.write_text(json.dumps(settings))
                command = [sys.executable, __file__, "--config", str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                measured[bucketing].append(json.loads(done.stdout.splitlines()[-1]))
    print("| bucketing | step s | generation s | forward and backward s | peak MiB | tokens with padding / without |")
    print("|---|--:|--:|--:|--:|--:|")
    for bucketing, values in measured.items():
        step, generation, peak, padding = (
            statistics.median(value[key] for value in values) for key in ("step", "generation", "peak", "padding")
        )
        cells = (
            f"{step:.2f}",
            f"{generation:.2f}",
            f"{step - generation:.2f}",
            f"{peak / 2**20:,.0f}",
            f"{padding:.2f}",
        )
        print(f"| {'on' if bucketing else 'off'} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
