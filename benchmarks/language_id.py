"""How sure the language identifier is of a release's questions, whole and without the names of their subjects.

    python -m benchmarks.language_id build/release [--facts 400]

Prints a Markdown table: the share of questions identified as their language.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyfact_dataset.audit import load
from polyfact_dataset.common.text.language_id import Identifier
from polyfact_dataset.config.build import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--facts", type=int, default=400)
    chosen = parser.parse_args()
    config = load_config()
    release = load.read(chosen.release, config)
    identifier = Identifier((*release.items, *config.audit.identify_also))
    step = max(len(release) // chosen.facts, 1)
    print("| language | whole question | without the name |\n|---|---|---|")
    for code, items in release.items.items():
        shares = []
        for texts in (items.questions.texts(), items.wordings.texts()):
            identified = identifier.identify(texts[::step])
            shares.append(f"{100 * sum(other == code for other in identified) / len(identified):.1f} %")
        print(f"| {code} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
