"""Options shared by all analyses, and the writing of their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from baselines.analysis.files import Arrays, Result, save
from baselines.analysis.text import ParallelText, Sampler
from baselines.evaluate.options import Languages, split_list
from baselines.figures import Figure, write
from baselines.models import Model

Loaded = tuple[Result, Arrays]
Draw = Callable[[Sequence[Loaded]], list[Figure]]


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """The parallel text to read, as options of a command."""

    text: Annotated[Path, typer.Option(help="Parallel text: a folder of line-aligned <code>.txt, or a .jsonl of rows.")]
    languages: Languages = None
    sample_tokens: Annotated[int, typer.Option(min=3, help="Longest sample in tokens.")] = 512

    def open(self) -> ParallelText:
        """The text in the languages that are named, or all of it; errors are those of `ParallelText.open`."""
        return ParallelText.open(self.text, split_list(self.languages))

    def sampler(self, model: Model, text: ParallelText) -> Sampler:
        """Cuts the text into samples that the model can read."""
        return Sampler(model.tokenizer, text.languages, min(self.sample_tokens, model.max_tokens))


def text_inputs(text: ParallelText, sampler: Sampler) -> dict[str, Any]:
    """The `inputs` of a result that was computed from parallel text."""
    return {
        "text": text.source.name,
        "samples": sampler.samples,
        "tokens": {code: sampler.tokens[code] for code in text.languages},
        "truncated": {code: sampler.truncated[code] for code in text.languages},
        "digests": sampler.digests,
    }


class Analysis:
    """One analysis of a model: its kind, its result, the model's name in tables, its figures, and its duration."""

    def __init__(self, kind: str, output: Path, label: str, draw: Draw) -> None:
        self.kind, self.output, self.label, self.draw = kind, output, label, draw
        self._start = time.perf_counter()

    def finish(
        self,
        metrics: dict[str, Any],
        arrays: Arrays,
        languages: Sequence[str],
        models: list[dict[str, Any]],
        inputs: dict[str, Any],
        settings: dict[str, Any],
    ) -> Result:
        """Writes the result and, in `<output>.figures`, its figures; prints both paths."""
        result = save(
            self.output,
            arrays,
            kind=self.kind,
            label=self.label,
            languages=tuple(languages),
            models=models,
            inputs=inputs,
            settings=settings,
            metrics=metrics,
            seconds=round(time.perf_counter() - self._start, 2),
        )
        folder = self.output.with_name(f"{self.output.stem}.figures")
        paths = write(self.draw([(result, arrays)]), folder)
        print(f"{self.output}: {result.kind} of {result.label}, {len(paths)} figure files in {folder}")
        return result
