"""BMLAMA-53: candidates of a prompt ranked by a causal model in 53 languages, for RankC (Qi et al., EMNLP 2023).

    python -m baselines.evaluate.bmlama --model M --data BMLAMA53 --languages en,de,sw --output b.json

`--data` is a folder with one `<language>.tsv` per language (columns `Prompt`, `Ans`, `Candidate Ans`; lists separated
by a comma and a blank), as in the repository Betswish/Cross-Lingual-Consistency on GitHub. Rows are aligned over
languages, and so are the candidates of a row, by position. Rows with fewer than two candidates are left out.

The sentence is scored with each candidate in the place of the mask; `token` (the mean log-probability per token of the
whole sentence) is the paper's score. Deviation: of several correct answers the first is the gold, so accuracies are not
the paper's; RankC is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baselines.evaluate import common, results
from baselines.evaluate.common import Run
from baselines.evaluate.options import EngineOptions, Languages, ModelOptions, RunOptions, split_list
from baselines.evaluate.ranked import Pool, rank_all
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest_json, readable

MASK = "<mask>"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a language: the prompt with its mask, the correct answers, and the candidates in aligned order."""

    prompt: str
    answers: tuple[str, ...]
    candidates: tuple[str, ...]


def read_language(path: Path) -> list[Line]:
    """The rows of a file. Raises `DataError` for a row without the three columns or without a mask."""
    rows = []
    with readable(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.startswith("Prompt")):
            continue
        parts = line.split("\t")
        if len(parts) != 3 or MASK not in parts[0]:
            raise DataError(f"{path}, line {number}: expected Prompt with {MASK}, Ans and Candidate Ans, by tabs")
        rows.append(Line(parts[0].strip(), *(tuple(part.strip().split(", ")) for part in parts[1:])))
    return rows


def read_folder(folder: Path) -> dict[str, list[Line]]:
    """Language -> rows. Raises `ConfigError` without files, `DataError` where their numbers of rows differ."""
    files = {path.stem: read_language(path) for path in sorted(folder.glob("*.tsv"))}
    if not files:
        raise ConfigError(f"{folder} has no <language>.tsv")
    sizes = {code: len(rows) for code, rows in files.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{folder}: the files are not aligned: {', '.join(f'{c} {n}' for c, n in sizes.items())} rows")
    return files


def pools_of(files: Mapping[str, Sequence[Line]], languages: Sequence[str]) -> list[Pool]:
    """One pool per row and language: every candidate by its position.

    A row is left out where some language has fewer than two candidates, or another number of them than the others, or
    where the first answer is not among them.
    """
    pools = []
    for number in range(len(next(iter(files.values())))):
        rows = {code: lines[number] for code, lines in files.items()}
        sizes = {len(row.candidates) for row in rows.values()}
        answered = all(row.answers[0] in row.candidates for row in rows.values())
        if len(sizes) != 1 or min(sizes) < 2 or not answered:
            continue
        for code in languages:
            row = rows[code]
            texts = {f"{n:03}": row.prompt.replace(MASK, text) for n, text in enumerate(row.candidates)}
            gold = f"{row.candidates.index(row.answers[0]):03}"
            pools.append(Pool(f"row{number:05}", "bmlama", code, "", texts, gold))
    return pools


@option_groups
def main(
    model: ModelOptions,
    data: Annotated[Path, typer.Option(help="Folder of BMLAMA-53: <language>.tsv files.")],
    target: RunOptions,
    engine: EngineOptions,
    languages: Languages = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Number of facts, the first ones. Default: all.")] = None,
) -> None:
    """Rank BMLAMA's candidates in every language."""
    common.prepare(target, engine.engine)
    files = read_folder(data)
    codes = split_list(languages) or tuple(files)
    unknown = [code for code in codes if code not in files]
    if unknown:
        raise ConfigError(f"{data} has no {', '.join(unknown)}; it has {', '.join(files)}")
    pools = pools_of(files, codes)
    facts = list(dict.fromkeys(pool.fact_id for pool in pools))[:limit]
    kept = [pool for pool in pools if pool.fact_id in set(facts)]
    if not kept:
        raise DataError(f"{data}: no row has at least two candidates in all languages")
    about = results.Data(
        source=data.name,
        config="bmlama",
        split="test",
        revision=None,
        content=None,
        facts=len(facts),
        languages=codes,
        digests={code: digest_json([[p.prompt, p.candidates] for p in kept if p.language == code]) for code in codes},
    )
    prompt = results.Prompt(style="bmlama", sha256=digest_json([pool.prompt for pool in kept]))
    run = Run.start(target, model, engine)
    result = rank_all(run, "bmlama", kept, about, prompt, {"limit": limit})
    if result:
        common.print_choices(result, target.output)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
