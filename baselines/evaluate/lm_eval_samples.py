"""Results from lm-evaluation-harness: the files of `lm_eval run --log_samples` of our tasks, as a result of ours.

    lm_eval run --tasks polyfact_clean --include_path ... --log_samples --output_path runs ...
    python -m baselines.evaluate.lm_eval_samples --samples runs/M --output m.json --label M
    python -m baselines.evaluate.compare m.json other.json

Users of the harness thus get consistency, RankC and all other measures. `--samples` is the folder with
`samples_polyfact[_clean]_<language>_<date>.jsonl`; of several files of a language the latest counts.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from baselines.evaluate import common, results
from baselines.evaluate.attributes import append
from baselines.evaluate.options import DATASET, Dataset, Output, Overwrite
from baselines.evaluate.summary import summarise_choices
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest_json, readable
from polyfact_dataset.schema import OPTIONS

_FILE = re.compile(r"samples_(?P<task>polyfact(?:_clean)?)_(?P<code>[a-z]{2,3})_(?P<date>[\dT:.\-]+)\.jsonl")


def find_files(folder: Path) -> tuple[str, dict[str, Path]]:
    """(config, language -> latest file). Raises `ConfigError` without files, and for both configs in one folder."""
    latest: dict[tuple[str, str], tuple[str, Path]] = {}
    for path in sorted(folder.rglob("samples_*.jsonl")):
        if match := _FILE.fullmatch(path.name):
            key = (match["task"], match["code"])
            latest[key] = max(latest.get(key, ("", path)), (match["date"], path))
    tasks = {task for task, _ in latest}
    if not tasks:
        raise ConfigError(f"{folder} has no samples_polyfact_<language>_<date>.jsonl; run lm_eval with --log_samples")
    if len(tasks) > 1:
        raise ConfigError(f"{folder} has samples of polyfact and of polyfact_clean; move one of them elsewhere")
    config = "clean" if tasks == {"polyfact_clean"} else "parallel"
    return config, {code: path for (_, code), (_, path) in sorted(latest.items())}


def read_samples(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of a file. Raises `DataError` for a line that is none."""
    with readable(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            sample = json.loads(line)
            sample["doc"]["fact_id"], sample["filtered_resps"], sample["doc"]["option_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no sample of a PolyFact task ({error})") from error
        yield sample


def choices_table(files: Mapping[str, Path]) -> tuple[pa.Table, dict[str, str]]:
    """Rows of `results.CHOICES`, and language -> digest of the items."""
    columns: dict[str, list[Any]] = {name: [] for name in results.CHOICES.schema.names}
    digests = {}
    for code, path in files.items():
        items = []
        for sample in sorted(read_samples(path), key=lambda one: str(one["doc"]["fact_id"])):
            doc = sample["doc"]
            names = [doc[option] for option in OPTIONS]
            items.append([doc["fact_id"], doc["question"], names, doc["option_ids"], doc["answer_index"]])
            logprobs = [float(response[0]) for response in sample["filtered_resps"]]
            if len(logprobs) != len(names):
                raise DataError(f"{path}: fact {doc['fact_id']} has {len(logprobs)} scores for {len(names)} options")
            prompt = str(sample["arguments"][0][0]) if isinstance(sample["arguments"], list) else None
            attributes = (
                *(doc.get("domain"), doc.get("popularity"), doc.get("subject_articles"), None),
                *(None if prompt is None else len(prompt.encode()), None),
            )
            for option, (name, id_, logprob) in enumerate(zip(names, doc["option_ids"], logprobs)):
                row = (doc["fact_id"], doc["property_id"], code, option, id_, name, option == doc["answer_index"])
                append(columns, (*row, logprob, None, len(name), len(name.encode()), *attributes))
        digests[code] = digest_json(items)
    return results.table_of("mcq", columns), digests


def main(
    samples: Annotated[Path, typer.Option(help="Folder that lm_eval wrote with --log_samples.")],
    output: Output,
    label: Annotated[str, typer.Option(help="The model's name in tables.")],
    dataset: Dataset = DATASET,
    overwrite: Overwrite = False,
) -> None:
    """Read the samples of lm_eval as a result."""
    if output.suffix != ".json":
        raise ConfigError(f"--output {output} must end in .json")
    results.refuse_overwriting(output, overwrite)
    config, files = find_files(samples)
    table, digests = choices_table(files)
    languages: Sequence[str] = tuple(files)
    facts = len(set(table["fact_id"].to_pylist()))
    about = results.Data(
        source=dataset,
        config=config,
        split="test",
        revision=None,
        content=None,
        facts=facts,
        languages=tuple(languages),
        digests=digests,
    )
    result = results.save(
        output,
        table,
        kind="mcq",
        label=label,
        data=about,
        model={"name": label, "revision": None, "weights": None},
        prompt=results.Prompt(style="lm_eval", sha256=digest_json(["lm_eval", config])),
        settings={"engine": "lm_eval", "names": "labels", "boundary": "lm_eval"},
        counts={},
        seed=0,
        software=results.software(),
        hardware={},
        speed=results.Speed(items=len(table) // len(OPTIONS), seconds=0, processes=1, items_per_s=0),
        metrics=summarise_choices(table, languages, ("byte", "sum", "char")),
    )
    common.print_choices(result, output)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
