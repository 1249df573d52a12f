"""Where the labels of all items of a dump come from, by language: prints a Markdown table.

    polyfact extract --dump latest-all.json.bz2 --out build
    python benchmarks/labels.py --build build

`bare` is what a build finds that reads the bare codes alone (`zh`, `pt`, ...); `gained` are items without such a
label that have one now; `rejected` are items all of whose texts in the language are too long, in a foreign script,
or hide something; `converted` are labels whose Traditional Chinese was converted, and
`reordered` those whose inverted name ("Пушкин, Александр") was turned round.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from pyarrow.dataset import dataset

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.facts.labels import Texts, resolve
from polyfact_dataset.pipeline.stages import table_path
from polyfact_dataset.schema import CONVERTED, REORDERED

_COLUMNS = ("bare", "label", "variant", "title", "mul", "missing", "rejected", "converted", "reordered", "gained")


def count(build: Path) -> tuple[int, dict[str, Counter[str]]]:
    """Items, and per language how many labels are of each kind."""
    entries = [language(code) for code in PAPER_LANGUAGES]
    counts = {entry.code: Counter[str]() for entry in entries}
    items = 0
    entities = table_path(build, "entities")
    for batch in dataset(entities, format="parquet").to_batches(batch_size=10_000):
        for row in batch.to_pylist():
            if row["kind"] != "item":
                continue
            items += 1
            texts = Texts.of(row)
            for entry in entries:
                label = resolve(entry, texts)
                counts_of_code, bare = counts[entry.code], entry.code in texts.labels
                counts_of_code[label["provenance"].partition("+")[0] if label else "missing"] += 1
                counts_of_code["bare"] += bare
                counts_of_code["gained"] += label is not None and not bare
                counts_of_code["converted"] += label is not None and CONVERTED in label["provenance"]
                counts_of_code["reordered"] += label is not None and REORDERED in label["provenance"]
                counts_of_code["rejected"] += label is None and any(texts.offers(entry))
    return items, counts


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="build folder with the extracted dump")
    items, counts = count(parser.parse_args().build)
    print(f"{items:,} items\n\n| language | {' | '.join(_COLUMNS)} |\n|---|{'---:|' * len(_COLUMNS)}")
    for code, by_column in counts.items():
        print(f"| {code} | {' | '.join(f'{by_column[name]:,}' for name in _COLUMNS)} |")
    total = {name: sum(by_column[name] for by_column in counts.values()) for name in _COLUMNS}
    print(f"| all | {' | '.join(f'{total[name]:,}' for name in _COLUMNS)} |")


if __name__ == "__main__":
    main()
