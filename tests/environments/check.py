"""Loads every config of a release with the `datasets` at hand, plain and streamed, and prints what came as JSON.

Runs in environments of its own that hold nothing but `datasets`: python check.py SOURCE MODE [REVISION], where MODE is
`name` (a folder or a Hub id, no script) or `script` (the loading script of a folder, with `trust_remote_code`).
"""

import hashlib
import json
import sys
import time
from importlib.metadata import version

import datasets

FIRST_ROWS = 5


def digest(rows):
    """A digest of rows that does not depend on the version."""
    text = json.dumps(rows, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def schema(features):
    """The Arrow schema of features as text, without what versions write differently."""
    fields = [f"{field.name}: {field.type}" for field in features.arrow_schema]
    return "\n".join(fields).replace("<element: ", "<item: ").replace(" not null", "")


def seconds_to_load(path, names, options):
    """The seconds in which every config is loaded, one after the other."""
    began = time.perf_counter()
    for name in names:
        datasets.load_dataset(path, name, **options)
    return round(time.perf_counter() - began, 1)


def main(source, mode, revision=None):
    path = f"{source}/loading_script/PolyFact.py" if mode == "script" else source
    options = {"trust_remote_code": True} if mode == "script" else {}
    if revision:
        options["revision"] = revision
    if mode == "script" and int(datasets.__version__.split(".")[0]) >= 4:
        datasets.load_dataset(path, "clean")  # refuses
    found = {}
    names = datasets.get_dataset_config_names(path, **options)
    seconds = {label: seconds_to_load(path, names, options) for label in ("cold", "cached")}
    for name in names:
        plain = datasets.load_dataset(path, name, **options)
        streamed = datasets.load_dataset(path, name, streaming=True, **options)
        found[name] = {
            split: {
                "rows": len(rows),
                "schema": schema(rows.features),
                "first": digest([rows[place] for place in range(min(FIRST_ROWS, len(rows)))]),
                "last": digest(rows[len(rows) - 1]),
                "streamed_schema": schema(streamed[split].features),
                "streamed_first": digest(list(streamed[split].take(FIRST_ROWS))),
            }
            for split, rows in plain.items()
        }
    default = datasets.load_dataset(path, **options)
    sizes = {split: len(rows) for split, rows in default.items()}
    libraries = {name: version(name) for name in ("huggingface_hub", "pyarrow", "fsspec")}
    about = {"version": datasets.__version__, "libraries": libraries, "default": sizes, "seconds": seconds}
    print(json.dumps({**about, "configs": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
