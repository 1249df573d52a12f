"""What tests of builds share: a build as digests, lines of the sample, a command that fails."""

from __future__ import annotations

import bz2
from functools import cache
from pathlib import Path

from polyfact_dataset.common.files import digest
from polyfact_dataset.pipeline.inputs import SAMPLE_DUMP
from tests.support.command import polyfact


def contents(out: Path) -> dict[str, str]:
    """Digest of every file of a build but the durations and the lock."""
    return {
        path.relative_to(out).as_posix(): digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("timings.json", ".lock")
    }


@cache
def sample_lines() -> list[bytes]:
    """The lines of the bundled sample: `[`, an entity each, `]`."""
    return bz2.decompress(SAMPLE_DUMP.read_bytes()).splitlines(keepends=True)


def failing(*arguments: object) -> tuple[int, str]:
    result = polyfact(*arguments, check=False)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stderr
