"""Where the labels of all items of a dump come from, by language: prints a Markdown table.

    python benchmarks/labels.py --dump latest-all.json.bz2

`bare` is what a build finds that reads the bare codes alone (`zh`, `pt`, ...); `gained` are items without such a
label that have one now; `rejected` are items all of whose texts in the language are too long, in a foreign script,
or hide something; `converted` are labels whose Traditional Chinese was converted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from polyfact_dataset.config import Config
from polyfact_dataset.languages import language
from polyfact_dataset.records import CONVERTED
from polyfact_dataset.wikidata.dump import batches, open_dump
from polyfact_dataset.wikidata.entities import Reader, Rows
from polyfact_dataset.wikidata.extract import wanted
from polyfact_dataset.wikidata.localise import Texts, resolve

_COLUMNS = ("bare", "label", "variant", "title", "mul", "missing", "rejected", "converted", "gained")


def count(dump: Path, config: Config) -> tuple[int, dict[str, Counter[str]]]:
    """Items, and per language how many labels are of each kind; a batch of the dump at a time."""
    reader, items = Reader(wanted(config)), 0
    entries = [language(code) for code in config.languages]
    counts = {entry.code: Counter[str]() for entry in entries}
    with open_dump(dump) as stream:
        for batch in batches(stream, config.extract.batch_bytes, config.extract.max_line_bytes, dump.name):
            rows = Rows()
            reader.read(batch.data, batch.first_line, rows)
            for row in rows.tables()[0].to_pylist():
                if row["kind"] != "item":
                    continue
                items += 1
                texts = Texts.of(row)
                for entry in entries:
                    found = resolve(entry, texts)
                    kind = found["provenance"].removesuffix(CONVERTED) if found else "missing"
                    own = counts[entry.code]
                    bare = entry.code in texts.labels
                    own[kind] += 1
                    own["bare"] += bare
                    own["gained"] += found is not None and not bare
                    own["converted"] += found is not None and found["provenance"].endswith(CONVERTED)
                    own["rejected"] += found is None and any(texts.offers(entry))
    return items, counts


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=Path, required=True, help="Wikidata JSON dump")
    items, counts = count(parser.parse_args().dump, Config())
    print(f"{items:,} items\n\n| language | {' | '.join(_COLUMNS)} |\n|---|{'---:|' * len(_COLUMNS)}")
    for code, own in counts.items():
        print(f"| {code} | {' | '.join(f'{own[name]:,}' for name in _COLUMNS)} |")
    total = {name: sum(own[name] for own in counts.values()) for name in _COLUMNS}
    print(f"| all | {' | '.join(f'{total[name]:,}' for name in _COLUMNS)} |")


if __name__ == "__main__":
    main()
