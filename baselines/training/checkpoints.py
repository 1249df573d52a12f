"""The checkpoints in the folder of a run."""

from __future__ import annotations

import re
from pathlib import Path

# A checkpoint that holds this file is complete.
COMPLETE = "complete"


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, complete or not, by step."""
    paths = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(paths, key=step_of)


def last_checkpoint(folder: Path) -> Path | None:
    """The last complete checkpoint."""
    return next((path for path in reversed(checkpoints(folder)) if (path / COMPLETE).is_file()), None)


def resume_step(folder: Path) -> int:
    """The step that a run in this folder continues from."""
    checkpoint = last_checkpoint(folder)
    return step_of(checkpoint) if checkpoint else 0
