"""A dump that lacks labels, and builds of it that ask a local server for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyfact_dataset.common.files import digest
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.pipeline.runner import Inputs, run
from polyfact_dataset.pipeline.stages import stage_named
from polyfact_dataset.wikidata.dump import identify
from tests.support.planted import item, labels, state, world
from tests.support.wikidata_server import Wikidata, serving

# Of 60 countries and their capitals: every country lacks two labels, forty capitals one, and ten capitals are not in
# the dump. The capital of country 51 is a redirect to Q1051, that of 52 is deleted, and country 53 lacks too much.
ABSENT = {f"Q{number}" for number in range(1041, 1053)}


def lacks(entity: dict, *codes: str) -> dict:
    return {**entity, "labels": {code: text for code, text in entity["labels"].items() if code not in codes}}


def dump_entities() -> list[dict]:
    entities = []
    for entity in world():
        number = int(entity["id"][1:])
        if number < 1000:
            if number in (51, 52):
                entity = state(item(entity["id"], labels(f"Land {number}"), ("Q6256",)), "P36", f"Q90{number}")
            codes = ("bn", "sw") if number != 53 else ("bn", "sw", "ja", "zh", "ar")
            entities.append(lacks(entity, *codes))
        elif number <= 1040:
            entities.append(lacks(entity, "ja"))
        elif entity["id"] not in ABSENT:
            entities.append(entity)
    return entities


def write_dump(folder: Path) -> Path:
    """The dump that lacks labels."""
    path = folder / "dump.json"
    path.write_text("[\n" + ",\n".join(json.dumps(entity) for entity in dump_entities()) + "\n]\n")
    return path


@contextmanager
def running_wikidata() -> Iterator[Wikidata]:
    """The server that has what the dump lacks."""
    entities = {entity["id"]: entity for entity in world()}
    del entities["Q1052"]
    with serving(Wikidata(entities, redirects={"Q9051": "Q1051"})) as server:
        yield server


def settings(wikidata: Wikidata, **changes: object) -> Config:
    quick = {"enabled": True, "contact": "me@example.org", "api": wikidata.url, "requests_per_s": 1e4}
    backfill = {**quick, "first_wait_s": 0.001, "max_tries": 2, **changes}
    return load_config(facts=1000, extract__workers=1, **{f"backfill__{key}": value for key, value in backfill.items()})


def build(dump: Path, out: Path, config: Config, until: str = "export", log: Log | None = None) -> dict:
    return run(Inputs(config, dump, identify(dump)), out, log or Log(quiet=True), until=stage_named(until))


def contents(out: Path) -> dict[str, str]:
    """Every file of a build but the cache and the durations."""
    return {
        path.relative_to(out).as_posix(): digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("timings.json", ".lock", "wikidata-cache.sqlite")
    }
