"""Tiny training runs for tests: configurations as dictionaries, and their YAML files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def settings(model: Path, release: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """A configuration that every method takes: 3 languages, 16 facts, 8 steps of 2; `section__key` changes a value."""
    found: dict[str, Any] = {
        "model": {"name": str(model), "dtype": "float32"},
        "dataset": {"source": str(release), "languages": ["en", "ja", "sw"], "max_facts": 16},
        "lora": {"r": 4, "alpha": 8, "dropout": 0.0},
        "optimisation": {"learning_rate": 0.005, "batch": 2, "precision": "fp32", "warmup": 0.25},
        "evaluation": {"facts": 4},
        "output": {"folder": str(folder), "checkpoint_steps": 4, "log_steps": 1},
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            found[section][key] = value
        else:
            found[section] = value
    return found


def write_config(path: Path, config: dict[str, Any]) -> Path:
    """The YAML file of a configuration."""
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def trace(folder: Path, name: str) -> dict[int, float]:
    """Step -> a logged value."""
    return {line["step"]: line[name] for line in log_of(folder) if name in line}


def weights(folder: Path) -> dict[str, Any]:
    """The tensors of a final model or adapter."""
    from safetensors.torch import load_file

    return load_file(next(folder.glob("*.safetensors")))


def difference(first: Path, second: Path) -> float:
    """The largest difference between the weights of two final models."""
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def launch(processes: int, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a trainer in several processes on the CPU, as `accelerate launch` and `torchrun` do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["torch.distributed.run", "--nproc_per_node", processes, "--master_port", port, "-m", module]
    return subprocess.run(
        [sys.executable, "-m", *map(str, (*command, *arguments))],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )
