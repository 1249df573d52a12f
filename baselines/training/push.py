"""Pushing a trained model or adapter to the Hub, with a model card made from the record of its run.

    python -m baselines.training.push --model runs/olmo2_7b_sft/final --repo USER/olmo2-7b-polyfact-sft

The card is written to the folder as README.md. No number in it is typed: all come from `training.json`.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, StrictUndefined

from baselines.training.run import TRAINING
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json, write_text
from polyfact_dataset.hub.push import errors_of_the_hub

# The files of a model: neither optimiser states nor pickled arguments.
PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "README.md")


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, value) of all settings."""
    settings: list[tuple[str, Any]] = []
    for name, value in values.items():
        settings += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return settings


def _public(value: Any) -> Any:
    """A record without the folders of the machine that wrote it: an absolute path is cut to its last part."""
    if isinstance(value, dict):
        return {name: _public(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_public(one) for one in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def published(folder: Path, base: str | None = None) -> dict[str, bytes | Path]:
    """The files to upload, by name; paths of this machine are removed from those that contain them.

    An adapter names `base` as its model.
    """
    content: dict[str, bytes | Path] = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_file() and any(path.match(pattern) for pattern in PATTERNS)
    }
    for name in (TRAINING, "adapter_config.json", "config.json"):
        if name in content:
            record = _public(read_json(folder / name))
            if base and name == "adapter_config.json":
                record["base_model_name_or_path"] = base
            content[name] = (json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
    content["README.md"] = render(folder, base).encode()
    return content


def render(folder: Path, base: str | None = None) -> str:
    """The model card of a folder that a run wrote.

    Raises `ConfigError` for a folder without a record, and when a base that is a local folder would be named.
    """
    from huggingface_hub import ModelCardData

    if not (folder / TRAINING).is_file():
        raise ConfigError(f"{folder} has no {TRAINING}; give the folder `final` of a run, or one merged from it")
    whole = read_json(folder / TRAINING)
    record = _public(whole)
    config = record["compared"]["config"]
    base = base or whole["compared"]["config"]["model"]["name"]
    if Path(base).is_dir():
        raise ConfigError(f"the run started from the local folder {base}; name its model on the Hub with --base")
    train = record["compared"]["data"].get("train", {})
    languages = train.get("languages") or config["dataset"]["languages"] or []
    adapter = (folder / "adapter_config.json").is_file()
    data = ModelCardData(
        base_model=base,
        base_model_relation="adapter" if adapter else "finetune",
        datasets=[source] if not Path(source := whole["compared"]["config"]["dataset"]["source"]).is_dir() else None,
        language=list(languages) or None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["polyfact", record["method"]],
    )
    source = files("baselines.training").joinpath("model_card.md.j2").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        metadata=data.to_yaml(),
        name=folder.resolve().parent.name if folder.name == "final" else folder.name,
        base=base,
        adapter=adapter,
        method=record["description"],
        languages=[language(code).name if code in known() else code for code in languages],
        settings=_flat({name: value for name, value in config.items() if name != "model"}),
        train=train,
        record=record,
        evaluation={name: value for name, value in record["evaluation"].items() if "accuracy_" not in name},
    )


def push(folder: Path, repo: str, base: str | None = None, private: bool = False) -> str:
    """Writes the card, pushes the folder in one commit and returns its address.

    Raises `ConfigError` when the Hub refuses, `RetryableError` when it cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    operations = [CommitOperationAdd(name, content) for name, content in published(folder, base).items()]
    write_text(folder / "README.md", render(folder, base))
    api = HfApi()
    with errors_of_the_hub(repo, "run the command again"):
        api.create_repo(repo, private=private, exist_ok=True)
        done = api.create_commit(repo, operations, commit_message="Trained by PolyFact")
    return str(done.commit_url)


def main(
    model: Annotated[Path, typer.Option(help="Folder `final` of a run, or a merged model.")],
    repo: Annotated[str, typer.Option(help="Model repository on the Hub, USER/NAME; made if it is not there.")],
    base: Annotated[
        str | None, typer.Option(help="The base model's id on the Hub, where the run had a folder.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository a private one.")] = False,
    card_only: Annotated[bool, typer.Option("--card-only", help="Print the card and send nothing.")] = False,
) -> None:
    """Push a model with its card to the Hub."""
    print(render(model, base) if card_only else push(model, repo, base, private))


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
