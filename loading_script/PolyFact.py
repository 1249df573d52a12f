"""PolyFact for datasets 2.x and 3.x: `load_dataset("loading_script/PolyFact.py", "clean", trust_remote_code=True)`.

It is optional: `load_dataset("jvonrad/PolyFact", "clean")` works without a script in every version from 2.21 on. It is
in a subfolder because datasets 4 and later refuse a repository with a script at its root. The release is looked for in
`data_dir`, then in the folder above the script's, then on the Hub.
"""

import json
import os
import re

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

# Where the release is published, the config without a name, and all configs.
REPOSITORY = "hf://datasets/jvonrad/PolyFact"
DEFAULT = "clean_items"
CONFIGS = [
    "clean_items",
    "clean",
    "clean_en",
    "clean_de",
    "clean_id",
    "clean_pt",
    "clean_ar",
    "clean_bn",
    "clean_sw",
    "clean_es",
    "clean_ru",
    "clean_fr",
    "clean_ja",
    "clean_zh",
    "parallel",
    "en",
    "de",
    "id",
    "pt",
    "ar",
    "bn",
    "sw",
    "es",
    "ru",
    "fr",
    "ja",
    "zh",
    "open",
    "clean_open",
]


class PolyFact(datasets.ArrowBasedBuilder):
    """Rows of a release, as its `manifest.json` lists the files; the features are those of the files."""

    BUILDER_CONFIGS = [datasets.BuilderConfig(name=name) for name in CONFIGS]
    DEFAULT_CONFIG_NAME = DEFAULT

    def _info(self):
        return datasets.DatasetInfo(homepage=REPOSITORY.replace("hf://", "https://huggingface.co/"))

    def _release(self, dl_manager):
        """Where the release is, and its manifest."""
        script = self.base_path or ""
        places = [self.config.data_dir, os.path.join(script, os.pardir), REPOSITORY]
        for place in (place for place in places if place):
            path = place.rstrip("/") + "/manifest.json"
            if place == REPOSITORY or os.path.isfile(path):
                with open(dl_manager.download(path), encoding="utf-8") as handle:
                    return place.rstrip("/"), json.load(handle)
            if place == self.config.data_dir:
                raise FileNotFoundError(f"data_dir {place} holds no manifest.json; give the folder of a release")
        raise AssertionError("unreachable")

    def _split_generators(self, dl_manager):
        folder, manifest = self._release(dl_manager)
        splits = manifest["configs"][self.config.name]
        for path in (path for paths in splits.values() for path in paths):
            if not re.fullmatch(r"data/\w[\w\-]*/\w[\w\-]*\.parquet", path, re.ASCII):
                raise ValueError(f"{folder}/manifest.json names {path!r}, which is no data file of a release")
        files = dl_manager.download({name: [f"{folder}/{path}" for path in splits[name]] for name in splits})
        with open(next(iter(files.values()))[0], "rb") as handle:
            self.info.features = datasets.Features.from_arrow_schema(pq.read_schema(handle))
        order = [name for name in ("train", "validation", "test") if name in files]
        return [datasets.SplitGenerator(name=name, gen_kwargs={"files": files[name]}) for name in order]

    def _generate_tables(self, files):
        for number, path in enumerate(files):
            with open(path, "rb") as handle:
                for group, batch in enumerate(pq.ParquetFile(handle).iter_batches(batch_size=1000)):
                    yield f"{number}_{group}", pa.Table.from_batches([batch])
