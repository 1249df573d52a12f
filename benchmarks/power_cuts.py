"""Power cuts in a build and in a training run (`faults.py`): the file operations are traced, and replayed up to a cut.

What a disk may hold after a cut is drawn at random (`tests/support/power_cut.py`); then the same command runs again, in
the same folder. A cut is survived when the result is that of an undisturbed run. Lost are files or values that differ,
and stages or checkpoints that were reported as finished and had to be made again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.disturbed import Bench, Outcomes, begin, contents, differing, say
from polyfact_dataset.pipeline.stages import STAGES
from tests.support.power_cut import cuts, trace
from tests.support.training_runs import difference, log_of, settings

_VERB = "export"
# What a build reports of a stage that it has finished.
_FINISHED = re.compile(r"^(\w+): [\d.]+ s$", re.MULTILINE)
_BUILD = """
import sys
sys.stdout.reconfigure(line_buffering=True)
sys.stderr = sys.stdout
sys.argv = {arguments!r}
from polyfact_dataset.cli.app import run
sys.exit(run())
"""
_TRAIN = """
import json
from baselines.sft import SftConfig, train
train(SftConfig.model_validate(json.loads({config!r})))
"""


def _replayed(bench: Bench, program: str, out: Path, judge: Callable[[str], tuple[int, str]]) -> Outcomes:
    """Traces a program that writes into `out`, and judges the result of every cut, given what had been printed."""
    outcomes, disk = Outcomes(), out.parent
    shutil.rmtree(disk, ignore_errors=True)
    disk.mkdir(parents=True)
    operations = trace(program, disk, bench.new("traces"))
    say(f"{len(operations)} file operations")
    for folder, printed in cuts(operations, disk, bench.new("cuts"), bench.kills, seed=bench.rng.randrange(1 << 30)):
        shutil.rmtree(disk)
        shutil.move(folder, disk)
        lost, how = judge(printed)
        outcomes.note(how != "CRASH", lost, how)
        if lost or how == "CRASH":
            say(f"  cut {folder.name}: {lost} lost, {how}")
    return outcomes


def build(bench: Bench) -> Outcomes:
    """A build of templates up to its export."""
    out = bench.new("power") / "build"
    for stage in STAGES:
        stage.load()

    def judge(printed: str) -> tuple[int, str]:
        done = _FINISHED.findall(printed)
        pid, output = begin(bench, out, _VERB)
        with output:
            text = output.read()
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            say(text[-1500:])
            return 0, "CRASH"
        again = [name for name in done if f"{name}: already complete" not in text]
        wrong = differing(contents(out), bench.expected[_VERB])
        for name in (*again, *wrong):
            say(f"  {name}")
        return len(wrong) + len(again), f"after {done[-1] if done else 'start'}"

    arguments = ["polyfact", *bench.command(out, verb=_VERB)[4:]]
    return _replayed(bench, _BUILD.format(arguments=arguments), out, judge)


def _model(bench: Bench) -> Path:
    """A tiny model of Qwen2's architecture."""
    from baselines import tiny
    from baselines.data import load

    facts = load(bench.folder / "whole" / "release", "parallel", "train").sample(100)
    return tiny.make("qwen2", bench.new("tiny"), tiny.texts(facts), vocabulary=1024, hidden=32)


def training(bench: Bench) -> Outcomes:
    """A training run with checkpoints, whose resumed weights and log are those of a run that was never stopped."""
    import torch

    from baselines.sft import SftConfig, train
    from baselines.training.checkpoints import COMPLETE

    torch.set_num_threads(1)
    out, release = bench.folder / "power-train" / "run", bench.folder / "whole" / "release"
    values = settings(
        _model(bench), release, out, lora={"r": 4, "alpha": 8, "dropout": 0.2}, output__checkpoint_steps=2
    )
    undisturbed = bench.new("undisturbed")
    in_fork(lambda: train(SftConfig.model_validate(settings_of(values, undisturbed))))

    def judge(printed: str) -> tuple[int, str]:
        kept = len(list(out.glob(f"checkpoint-*/{COMPLETE}")))
        if in_fork(lambda: train(SftConfig.model_validate(values))):
            return 0, "CRASH"
        same = difference(out / "final", undisturbed / "final") == 0.0 and _steps(out) == _steps(undisturbed)
        return int(not same), f"with {kept} checkpoints"

    return _replayed(bench, _TRAIN.format(config=json.dumps(values)), out, judge)


def settings_of(values: dict[str, object], folder: Path) -> dict[str, object]:
    """The same run in another folder."""
    output = values["output"]
    assert isinstance(output, dict)
    return {**values, "output": {**output, "folder": str(folder)}}


def _steps(folder: Path) -> list[tuple[int, float]]:
    """The logged losses by step."""
    return [(line["step"], line["loss"]) for line in log_of(folder) if "loss" in line]


def in_fork(work: Callable[[], object]) -> int:
    """Does work in a fork of this process, which has everything imported; returns its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
