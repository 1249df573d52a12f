"""Renders `explorer.html`: one file for searching and reading a release, from disk or served, without a network.

Validation and test are embedded, compressed; train is read from the Parquet files by range requests where the page is
served. The page is static: its scripts are fixed by their hashes in the content security policy, and every text of the
release is embedded as data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_parquet
from polyfact_dataset.release import card_tables
from polyfact_dataset.release.errata import report_url
from polyfact_dataset.release.layout import read_splits
from polyfact_dataset.release.reader import Release, config_files
from polyfact_dataset.schema import OPTIONS, SPLITS, TIERS

FILE = "explorer.html"
EMBEDDED = ("validation", "test")
_MOST_FINDINGS = 5_000
# Facts that are embedded once more in a separate block, which the page shows while it reads the other block.
_SHOWN_FIRST = 50
_PAYLOAD = re.compile(r'(<script type="application/octet-stream" id="(?:first|facts)">\n)([^<]*)(\n</script>)')
_LEVEL = 9
_GATE = {"gate", "status", "reason", "value", "at", "limit"}


class _Texts:
    """Distinct texts, each stored once; `add` returns the index of a text."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._places: dict[str, int] = {}

    def add(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(text)
        return self._places[text]


def wording(row: Mapping[str, Any]) -> str | None:
    """The wording of a fact: its column, else the English question with the subject's name replaced by an ellipsis."""
    if row.get("wording"):
        return str(row["wording"])
    item = row["translations"].get("en")
    if item is None or not item["subject_label"] or item["subject_label"] not in item["question"]:
        return None
    return str(item["question"].replace(item["subject_label"], "…", 1))


def _item(item: Mapping[str, Any], texts: _Texts) -> list[int]:
    """An item in the form that `explorer.js` unpacks."""
    named = [item["question"], *(item[name] for name in OPTIONS)]
    lists = [*item["option_ids"], *item["option_provenance"]]
    last = [item["subject_label"], item["subject_provenance"], item["question_source"]]
    return [*map(texts.add, named), item["answer_index"], *map(texts.add, (*lists, *last))]


def payload(release: Release) -> dict[str, Any]:
    """The embedded facts: distinct texts, and for each fact a list that refers to them by index."""
    splits = config_files(release.folder, "parallel", release.manifest)
    held_out = {split: paths for split, paths in splits.items() if split in EMBEDDED}
    texts, facts = _Texts(), []
    for row in read_splits(held_out).to_pylist() if held_out else []:
        facts.append(
            [
                row["fact_id"],
                SPLITS.index(row["split"]),
                row["property_id"],
                row["quality_tier"],
                row["popularity"],
                row["verification"],
                row["n_langs_attested"],
                row["subject_articles"],
                row["object_articles"],
                wording(row),
                [texts.add(row[name]) for name in ("subject", "relation", "object")],
                [_item(row["translations"][code], texts) for code in release.languages],
            ]
        )
    facts.sort(key=lambda fact: (-fact[4], fact[0]))
    return {"texts": texts.values, "facts": facts}


def first_facts(embedded: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of the first facts alone, in the same form."""
    texts = _Texts()

    def moved(slot: int) -> int:
        return texts.add(embedded["texts"][slot])

    facts = []
    for fact in embedded["facts"][:_SHOWN_FIRST]:
        items = [[*map(moved, item[:5]), item[5], *map(moved, item[6:])] for item in fact[11]]
        facts.append([*fact[:10], list(map(moved, fact[10])), items])
    return {"texts": texts.values, "facts": facts}


def _compressed(embedded: Mapping[str, Any]) -> Markup:
    text = json.dumps(embedded, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return Markup(base64.b64encode(zlib.compress(text, _LEVEL)).decode("ascii"))


def _findings(release: Release, facts: Iterable[str]) -> tuple[dict[str, int], dict[str, list[dict[str, Any]]]]:
    """Number of the audit's findings by check, and those of the embedded facts by fact."""
    path = release.folder / "audit" / "findings.parquet"
    if not path.is_file():
        return {}, {}
    shown, by_fact = set(facts), defaultdict(list)
    rows = read_parquet(path, ["check", "fact_id", "language", "detail"]).to_pylist()
    for row in [row for row in rows if row["fact_id"] in shown][:_MOST_FINDINGS]:
        by_fact[row["fact_id"]].append({name: row[name] for name in ("check", "language", "detail")})
    return dict(sorted(Counter(row["check"] for row in rows).items())), dict(by_fact)


def _languages(release: Release) -> list[dict[str, str]]:
    known = (language(code) for code in release.languages)
    return [
        {
            "code": entry.code,
            "name": entry.name,
            "autonym": entry.autonym,
            "direction": entry.direction,
            "wiki": entry.wiki,
        }
        for entry in known
    ]


def _train(release: Release) -> dict[str, Any]:
    """The train files of the parallel rows and of each language, as paths in the release."""
    listed = release.manifest["configs"]
    flat = {code: listed[code].get("train", []) for code in release.languages if code in listed}
    return {"parallel": listed["parallel"].get("train", []), "flat": flat}


def _about(release: Release, statistics: Mapping[str, Any], facts: list[str], base: str) -> dict[str, Any]:
    """The content of the page without the facts."""
    audit = release.audit
    checks, findings = _findings(release, facts)
    errata: dict[str, list[dict[str, Any]]] = {}
    for row in release.errata:
        errata.setdefault(row["fact_id"], []).append({name: row[name] for name in ("language", "reason")})
    gates = [gate.model_dump(include=_GATE) for gate in audit.gates]
    return {
        "version": release.about["version"],
        "base": base,
        "discussions": report_url(release.about["release"]["repository"]).partition("?")[0],
        "languages": _languages(release),
        "splits": list(SPLITS),
        "tiers": list(TIERS),
        "relations": {key: entry["label"] for key, entry in statistics["relations"].items()},
        "train": _train(release),
        "checks": checks,
        "findings": findings,
        "errata": errata,
        "passed": audit.passed,
        "gates": gates,
        "floors": card_tables.floors(audit, "test" if statistics["splits"]["test"] else "all"),
        "leaderboard": card_tables.results(release.folder),
    }


def _notices(release: Release) -> list[str]:
    notices = []
    if release.about.get("source") == "sample":
        notices.append("Bundled sample, not a Wikidata dump.")
    if not release.audit.passed:
        notices.append("The audit refuses this release: " + "; ".join(release.audit.broken))
    return notices


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode()}'"


def page(release: Release, statistics: Mapping[str, Any], base: str = "") -> str:
    """The whole page. `base` is the address of the release's files where the page is served from elsewhere."""
    embedded = payload(release)
    assets = files(__package__)
    parquet, script = (assets.joinpath(name).read_text(encoding="utf-8") for name in ("parquet.min.js", "explorer.js"))
    about = _about(release, statistics, [fact[0] for fact in embedded["facts"]], base)
    # Only `<` could end the script element.
    data = json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    served = "https://huggingface.co https://*.hf.co https://*.huggingface.co" if base else "'self'"
    policy = (
        f"default-src 'none'; script-src {_hash(parquet)} {_hash(script)}; style-src 'unsafe-inline'; "
        f"connect-src {served}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(assets.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        version=release.about["version"],
        content=release.about["content"],
        summary=f"{statistics['facts']:,} facts in {len(release.languages)} languages",
        notices=_notices(release),
        policy=policy,
        style=Markup(assets.joinpath("explorer.css").read_text(encoding="utf-8")),
        about=Markup(data),
        first=_compressed(first_facts(embedded)),
        facts=_compressed(embedded),
        parquet=Markup(parquet),
        script=Markup(script),
    )


def plain(text: str) -> str:
    """A page with its facts decompressed, to compare pages: compressed bytes depend on the compression library.

    Raises `DataError` for a page without readable facts.
    """
    if len(_PAYLOAD.findall(text)) != 2:
        raise DataError(f"{FILE} contains no facts; render it again: polyfact card")

    def facts(match: re.Match[str]) -> str:
        return match[1] + zlib.decompress(base64.b64decode(match[2], validate=True)).decode("utf-8") + match[3]

    try:
        return _PAYLOAD.sub(facts, text)
    except (ValueError, zlib.error) as error:
        raise DataError(f"{FILE} cannot be read ({error}); render it again: polyfact card") from error
