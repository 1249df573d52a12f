"""Options shared by all analyses, and the function that writes their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from baselines.analysis.files import Arrays, Result, save
from baselines.analysis.text import ParallelText, Sampler
from baselines.figures import Figure, write

Loaded = tuple[Result, Arrays]
Draw = Callable[[Sequence[Loaded]], list[Figure]]
Text = Annotated[Path, typer.Option(help="Parallel text: a folder of line-aligned <code>.txt, or a .jsonl of rows.")]


def text_inputs(text: ParallelText, sampler: Sampler) -> dict[str, Any]:
    """The `inputs` of a result that was computed from parallel text."""
    return {
        "text": text.source.name,
        "samples": sampler.samples,
        "tokens": {code: sampler.tokens[code] for code in text.languages},
        "truncated": {code: sampler.truncated[code] for code in text.languages},
        "digests": sampler.digests,
    }


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Elapsed, to the hundredth."""
        return round(time.perf_counter() - self._start, 2)


def finish(output: Path, arrays: Arrays, draw: Draw, **fields: Any) -> Result:
    """Writes the result and, in `<output>.figures`, its figures; prints both paths."""
    result = save(output, arrays, **fields)
    folder = output.with_name(f"{output.stem}.figures")
    paths = write(draw([(result, arrays)]), folder)
    print(f"{output}: {result.kind} of {result.label}, {len(paths)} figure files in {folder}")
    return result
