"""The files of a static Space on the Hub that shows the explorer and the leaderboard of a release."""

from __future__ import annotations

from pathlib import Path

import yaml

from polyfact_dataset.common.files import write_text
from polyfact_dataset.release import leaderboard
from polyfact_dataset.release.explorer.page import page
from polyfact_dataset.release.reader import Release, locate, read_release
from polyfact_dataset.release.stats import read_statistics


def _readme(release: Release) -> str:
    about = release.about
    head = {
        "title": f"PolyFact {about['version']}",
        "emoji": "🌍",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "static",
        "pinned": False,
        "datasets": [about["release"]["repository"]],
    }
    block = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    name = about["release"]["repository"]
    return (
        f"---\n{block}---\n\n# PolyFact {about['version']}\n\nThe explorer of the dataset "
        f"[{name}](https://huggingface.co/datasets/{name}) at version {about['version']}. Made by `polyfact space`.\n"
    )


def write_space(release: str, out: Path) -> list[str]:
    """Writes the files into `out` and returns their names; train is read from the dataset on the Hub at its tag.

    Raises as `locate` and `read_release` do.
    """
    opened = read_release(locate(release))
    repository, version = opened.about["release"]["repository"], opened.about["version"]
    base = f"https://huggingface.co/datasets/{repository}/resolve/v{version}/"
    texts = {"README.md": _readme(opened), "index.html": page(opened, read_statistics(release), base)}
    board = leaderboard.read(opened.folder)
    if board:
        texts[leaderboard.PAGE] = leaderboard.page(board, version)
    for name, text in texts.items():
        write_text(out / name, text)
    return list(texts)
