"""Croissant 1.1 metadata of a release, with the responsible-AI fields.

Created with the reference library, which validates it. Each config has a file set and a record set with its columns and
the split of each row; columns come from the files' schemas and their meaning from the table schemas.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.release.reader import Release
from polyfact_dataset.release.schema import FLAT_ROWS, OPEN_ITEM, parallel_rows
from polyfact_dataset.schema import JUDGED_ROWS, SPLITS, Column


def _docs(columns: Iterable[Column]) -> dict[str, str]:
    return {column.name: column.doc for column in columns}


class _Fields:
    """The fields of one record set, as the library's objects."""

    def __init__(self, context: Any, config: str, files: str, docs: Mapping[str, str]) -> None:
        self._context, self._config, self._files, self._docs = context, config, files, docs

    def of(self, column: pa.Field, path: tuple[str, ...] = ()) -> Any:
        """The field of a column, with sub-fields for a struct. `path` is its path from the top."""
        import mlcroissant as mlc

        path_of_field = (*path, column.name)
        name = "/".join((self._config, *path_of_field))
        context = self._context
        shared = {
            "ctx": context,
            "id": name,
            "name": name,
            "description": self._docs.get(column.name, f"item in {column.name}"),
        }
        if pa.types.is_struct(column.type):
            return mlc.Field(**shared, sub_fields=[self.of(inner, path_of_field) for inner in column.type])
        repeated = pa.types.is_list(column.type)
        kind = column.type.value_type if repeated else column.type
        # Inside a struct, the value is reached from the column at the top.
        transforms = [mlc.Transform(ctx=context, json_path=part) for part in path_of_field[1:]]
        return mlc.Field(
            **shared,
            data_types=[mlc.DataType.INT32 if pa.types.is_integer(kind) else mlc.DataType.TEXT],
            repeated=repeated or None,
            source=mlc.Source(
                ctx=context,
                file_set=self._files,
                extract=mlc.Extract(ctx=context, column=path_of_field[0]),
                transforms=transforms or None,
            ),
        )


def data_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of the data files that users can reproduce: of the lines of `sha256sum`, in the order of the paths."""
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def _splits(context: Any) -> Any:
    """The record set that names the splits."""
    import mlcroissant as mlc

    name = "splits/name"
    field = mlc.Field(ctx=context, id=name, name=name, description="The split.", data_types=[mlc.DataType.TEXT])
    return mlc.RecordSet(
        ctx=context,
        id="splits",
        name="splits",
        description="The splits. A subject is in one split only.",
        key=[name],
        data_types=[mlc.DataType.SPLIT],
        fields=[field],
        data=[{name: split} for split in SPLITS],
    )


def _split_field(context: Any, config: str, files: str) -> Any:
    """The split of a row, from the name of its file."""
    import mlcroissant as mlc

    return mlc.Field(
        ctx=context,
        id=f"{config}/split",
        name=f"{config}/split",
        description="The split of the row.",
        data_types=[mlc.DataType.TEXT],
        references=mlc.Source(ctx=context, field="splits/name"),
        source=mlc.Source(
            ctx=context,
            file_set=files,
            extract=mlc.Extract(ctx=context, file_property="fullpath"),
            transforms=[mlc.Transform(ctx=context, regex=f"(?:.*/)?({'|'.join(SPLITS)})(?:-[^/]*)?(?:\\.parquet)?$")],
        ),
    )


def _resources(context: Any, release: Release, url: str) -> tuple[list[Any], list[Any]]:
    """The repository with a file set per config, and the record sets."""
    import mlcroissant as mlc

    docs = _docs((*JUDGED_ROWS.columns, *OPEN_ITEM, *parallel_rows(release.languages).columns, *FLAT_ROWS.columns))
    distribution: list[Any] = [
        mlc.FileObject(
            ctx=context,
            id="repository",
            name="repository",
            description="The repository on the Hugging Face Hub at the tag of this version. Its SHA-256 is that of its "
            "data: find data -name '*.parquet' | LC_ALL=C sort | xargs sha256sum | sha256sum",
            content_url=f"{url}/tree/v{release.about['version']}",
            encoding_formats=["git+https"],
            sha256=data_digest(release.manifest["files"]),
        )
    ]
    records = [_splits(context)]
    for config, splits in release.manifest["configs"].items():
        distribution.append(
            mlc.FileSet(
                ctx=context,
                id=f"{config}-files",
                name=f"{config}-files",
                description=f"The Parquet files of config {config}.",
                contained_in=["repository"],
                encoding_formats=["application/x-parquet"],
                includes=[path for paths in splits.values() for path in paths],
            )
        )
        fields = _Fields(context, config, f"{config}-files", docs)
        records.append(
            mlc.RecordSet(
                ctx=context,
                id=config,
                name=config,
                description=f"Config {config}: {release.rows(config):,} rows.",
                fields=[
                    _split_field(context, config, f"{config}-files"),
                    *(fields.of(column) for column in release.schema(config) if column.name != "split"),
                ],
            )
        )
    return distribution, records


def croissant(release: Release, named: Mapping[str, Any]) -> str:
    """The JSON-LD of a release; `named` are the values of the card. Raises `DataError` when it is not valid."""
    import mlcroissant as mlc

    about, statements = release.about, named["statements"]
    url = f"https://huggingface.co/datasets/{about['release']['repository']}"
    day = about["release"]["published"] or about["dump_date"]
    # One context for all nodes: otherwise each resolves the vocabulary, which takes half of the time.
    context = mlc.Context()
    authors = [
        mlc.Person(ctx=context, name=" ".join(a[key] for key in ("given", "particle", "family") if key in a))
        for a in named["citation"]["authors"]
    ]
    distribution, records = _resources(context, release, url)
    try:
        metadata = mlc.Metadata(
            ctx=context,
            name="PolyFact",
            description=_plain(f"Made from {named['made_from']}. {statements['use_cases']}"),
            url=url,
            version=about["version"],
            date_published=datetime.datetime.fromisoformat(day) if day else None,
            license=[entry["url"] for entry in {e["id"]: e for e in named["licences"]}.values()],
            cite_as=named["bibtex"],
            creators=authors,
            in_language=release.languages,
            keywords=["wikidata", "factual recall", "multilingual", "multiple choice"],
            conforms_to=["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
            distribution=distribution,
            record_sets=records,
            data_collection=_plain(statements["collection"]),
            data_collection_type=["Secondary data analysis", "Software collection"],
            data_collection_missing_data=_plain(statements["missing"]),
            data_collection_raw_data=_plain(statements["raw_data"]),
            data_collection_timeframe=[datetime.datetime.fromisoformat(about["dump_date"])]
            if about["dump_date"]
            else [],
            data_imputation_protocol=_plain(statements["imputation"]),
            data_manipulation_protocol=_plain(statements["manipulation"]),
            data_preprocessing_protocol=[_plain(statements["preprocessing"])],
            data_annotation_protocol=[_plain(statements["annotation"])],
            data_annotation_platform=[_plain(statements["annotation_platform"])],
            data_annotation_analysis=[_plain(statements["annotation_analysis"])],
            annotations_per_item=_plain(statements["annotations_per_item"]),
            annotator_demographics=[_plain(statements["annotators"])],
            machine_annotation_tools=[_plain(statements["machine_tools"])],
            data_biases=[_plain(text) for text in statements["biases"]],
            data_limitations=[_plain(text) for text in statements["limits"]],
            data_use_cases=[_plain(statements["use_cases"])],
            data_social_impact=_plain(statements["social_impact"]),
            personal_sensitive_information=[_plain(statements["personal"])],
            data_release_maintenance_plan=_plain(statements["maintenance"]),
        )
        content = metadata.to_json()
        # The library misspells this field of the vocabulary.
        if misspelt := content.pop("rai:dataDataManipulationProtocol", None):
            content["rai:dataManipulationProtocol"] = misspelt
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    except mlc.ValidationError as error:
        raise DataError(f"the Croissant metadata of {release.folder} is not valid: {error}") from error


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())
