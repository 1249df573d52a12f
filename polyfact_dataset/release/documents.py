"""Stage `card`: renders the documents of a release, and checks that they match its data.

Every document is a function of files in the release: manifest, audit, change log, `release.json`, errata, leaderboard
and the rows.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from polyfact_dataset import __version__
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import atomic, is_temporary, write_json, write_text
from polyfact_dataset.common.processes import map_inheriting
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.pipeline.stages import EXPORT, stage_folder
from polyfact_dataset.release import card, errata, figures, leaderboard
from polyfact_dataset.release.croissant import croissant
from polyfact_dataset.release.explorer import page as explorer
from polyfact_dataset.release.models import Statistics
from polyfact_dataset.release.reader import (
    ERRATA_FILE,
    Release,
    check_content,
    default_config,
    read_audit,
    read_errata,
    read_manifest,
    read_release,
)
from polyfact_dataset.release.stats import statistics
from polyfact_dataset.release.versions import about, documents_patch, version_and_changes

# Files of a release that are not rendered.
_WRITTEN = (
    "manifest.json",
    "splits.parquet",
    "release.json",
    "CHANGELOG.md",
    ERRATA_FILE,
    leaderboard.FILE,
)
SCRIPT = "loading_script/PolyFact.py"


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"release": config.release.model_dump(mode="json"), "version": __version__}


def citation_file(release: Release) -> str:
    """`CITATION.cff` (format 1.2.0)."""
    cited, about_release = card.citation(), release.about["release"]
    keys = {"given": "given-names", "particle": "name-particle", "family": "family-names"}
    people = [{keys[key]: person[key] for key in keys if key in person} for person in cited["authors"]]
    content = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, cite the paper, and name the version of the dataset.",
        "type": "dataset",
        "title": "PolyFact",
        "abstract": cited["abstract"],
        "version": release.about["version"],
        **({"date-released": about_release["published"]} if about_release["published"] else {}),
        "license": list(dict.fromkeys(entry["spdx"] for entry in card.licences(release))),
        "url": f"https://huggingface.co/datasets/{about_release['repository']}",
        "identifiers": [
            {
                "type": "other",
                "value": f"sha256:{release.about['content']}",
                "description": "digest of the content of this version",
            }
        ],
        "authors": [{**person, "affiliation": cited["affiliation"]} for person in people],
        "preferred-citation": {
            "type": "article",
            "title": cited["title"],
            "year": cited["year"],
            "url": f"https://arxiv.org/abs/{cited['arxiv']}",
            "identifiers": [{"type": "other", "value": f"arXiv:{cited['arxiv']}"}],
            "authors": people,
        },
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def loading_script(release: Release) -> str:
    """The script for datasets 2.x and 3.x, with the configs of this release and the tag of its version."""
    script = files("loading_script").joinpath("PolyFact.py").read_text(encoding="utf-8")
    listed = json.dumps(list(release.manifest["configs"]), indent=4).replace('"\n]', '",\n]')
    address = f"hf://datasets/{release.about['release']['repository']}@v{release.about['version']}"
    default = f'"{default_config(release.manifest)}"'
    values = (("CONFIGS", r"\[.*?^\]", listed), ("REPOSITORY", '".*?"', f'"{address}"'), ("DEFAULT", '".*?"', default))
    for name, pattern, value in values:
        assignments = re.findall(rf"^{name} = {pattern}", script, flags=re.M | re.S)
        if len(assignments) != 1:
            raise AssertionError(f"loading_script/PolyFact.py sets {name} {len(assignments)} times")
        script = script.replace(assignments[0], f"{name} = {value}")
    return script


def texts(release: Release, counted: dict[str, Any]) -> dict[str, str]:
    """Path in the release -> text, of every document that is rendered."""
    named = card.values(release, counted)
    return _metadata(release, counted, named) | _pages(release, counted, named)


def _metadata(release: Release, _: dict[str, Any], named: dict[str, Any]) -> dict[str, str]:
    return {"croissant.json": croissant(release, named)}


def _pages(release: Release, counted: dict[str, Any], named: dict[str, Any]) -> dict[str, str]:
    rows, version = release.errata, release.about["version"]
    listed = {errata.PAGE: errata.page(release.folder, rows, version)} if rows else {}
    if board := leaderboard.read(release.folder):
        listed[leaderboard.PAGE] = leaderboard.page(board, version, named["floors"])
    return {
        "README.md": card.card(release, named),
        "DATASHEET.md": card.render("datasheet.md.j2", named),
        "LICENSE.md": card.render("licence.md.j2", named),
        "CITATION.cff": citation_file(release),
        "statistics.json": json.dumps(counted, ensure_ascii=False, indent=1) + "\n",
        SCRIPT: loading_script(release),
        explorer.FILE: explorer.page(release, counted),
        **listed,
    }


def _figures(release: Release, counted: dict[str, Any], _: dict[str, Any]) -> dict[str, bytes]:
    return figures.draw(counted, release.manifest)


_Part = Callable[[Release, dict[str, Any], dict[str, Any]], Mapping[str, str | bytes]]
_PARTS: tuple[_Part, ...] = (_metadata, _pages, _figures)


def _part(shared: tuple[Release, dict[str, Any], dict[str, Any]], number: int) -> Mapping[str, str | bytes]:
    return _PARTS[number](*shared)


def write(release: Release, target: Path, processes: int = 1) -> None:
    """Renders all documents of a release into `target`."""
    counted = statistics(release.folder)
    Statistics.model_validate(json.loads(json.dumps(counted)))
    shared = release, counted, card.values(release, counted)
    for part in map_inheriting(_part, shared, range(len(_PARTS)), processes):
        for name, content in part.items():
            if isinstance(content, str):
                write_text(target / name, content)
                continue
            with atomic(target / name) as temporary:
                temporary.write_bytes(content)


def render_again(folder: Path) -> dict[str, Any]:
    """Renders the documents of a finished release again, and returns its manifest.

    Version and change log do not change.
    """
    manifest = check_content(folder)
    write(read_release(folder), folder)
    return manifest


def patch(folder: Path, note: str) -> dict[str, Any]:
    """Creates the next patch version of a finished release, with new documents and equal data; returns its manifest."""
    check_content(folder)
    described, changes = documents_patch(folder, note)
    write_json(folder / "release.json", described)
    write_text(folder / "CHANGELOG.md", changes)
    return render_again(folder)


def run(context: Context) -> Report:
    """Writes the documents into the release folder."""
    folder, settings_of_release = stage_folder(context.out, EXPORT), context.config.release
    manifest = read_manifest(folder)
    versioned, changes = version_and_changes(folder, context.previous_release, settings_of_release)
    described = about(manifest, versioned, settings_of_release, __version__)
    # Kept, so that a fact does not reappear two versions later.
    known = read_errata(context.previous_release) if context.previous_release else []
    if known:
        errata.write_errata(context.folder, known)
    write_json(context.folder / "release.json", described)
    write_text(context.folder / "CHANGELOG.md", changes)
    release = Release(folder, manifest, described, read_audit(folder), changes, known)
    write(release, context.folder, context.config.extract.workers)
    return Report({name: described[name] for name in ("version", "change", "content")})


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a release, after checking that every document matches its data.

    Raises `DataError` that names the first file that differs, with the lines.
    """
    manifest = check_content(folder)
    release = read_release(folder)
    if release.about["content"] != manifest["content"]:
        raise DataError(f"{folder / 'release.json'} is about other content; rebuild the release")
    _check_changes(release)
    counted = statistics(folder)
    rendered = texts(release, counted)
    for name, text in rendered.items():
        path = folder / name
        present = path.read_text(encoding="utf-8") if path.is_file() else ""
        if name == explorer.FILE and present:
            present, text = explorer.plain(present), explorer.plain(text)
        if present != text:
            raise DataError(_difference(path, present, text))
    for name in figures.FIGURES:
        path = folder / name
        # Not compared by bytes, since versions of the drawing library may differ in pixels.
        if not path.is_file() or figures.content_shown(path.read_bytes(), name) != manifest["content"]:
            raise DataError(f"{path} is missing or shows other content; render it again: polyfact card")
    _check_no_other_files(folder, {*rendered, *figures.FIGURES, *manifest["files"], *_WRITTEN})
    return manifest


def _check_no_other_files(folder: Path, known: set[str]) -> None:
    """Raises `DataError` for a file that is not part of a release, so that a push uploads nothing else."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in known and not name.startswith("audit/") and not is_temporary(path):
            raise DataError(f"{path} is not part of the release; move it elsewhere")


def _check_changes(release: Release) -> None:
    first = next((part for part in re.split(r"^## ", release.changes, flags=re.M)[1:]), "")
    version, content = release.about["version"], release.about["content"]
    if not re.match(rf"{re.escape(version)}\s", first) or content[:16] not in first:
        raise DataError(f"{release.folder / 'CHANGELOG.md'}: its first entry is not about {version} with its content")


def _difference(path: Path, present: str, expected: str) -> str:
    if not present:
        return f"{path} is missing; render it again: polyfact card"
    lines = difflib.unified_diff(present.splitlines(), expected.splitlines(), "present", "expected", n=0, lineterm="")
    shown = "\n  ".join(line[:160] for line in list(lines)[2:10])
    return f"{path} does not match the release:\n  {shown}\nrender it again: polyfact card"
