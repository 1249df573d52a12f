"""Options of the command line that several commands share, each with one name, one bound and one line of help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast, get_args

import typer

if TYPE_CHECKING:
    from polyfact_dataset.pipeline.executors import Executor

ConfigFile = Annotated[Optional[Path], typer.Option("--config", help="TOML configuration; flags override it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show errors only, no progress.")]
Out = Annotated[Path, typer.Option("--out", help="Build folder; the release is written to its subfolder `release`.")]
Previous = Annotated[
    Optional[Path],
    typer.Option(
        "--previous",
        help="Earlier release, a folder or owner/name@tag on the Hub: its held-out facts never enter train, "
        "and the version and change log are derived from it.",
    ),
]
Objections = Annotated[
    Optional[Path],
    typer.Option("--objections", help="Parquet or CSV with fact_id, language: use the template's question there."),
]
Force = Annotated[bool, typer.Option("--force", help="Accept a --previous release that failed its audit.")]
Exclude = Annotated[
    Optional[Path],
    typer.Option("--exclude", help="Facts to leave out: ids, one a line, or a table such as the audit's findings."),
]
ModelCache = Annotated[
    Optional[Path], typer.Option("--model-cache", help="SQLite file with all answers of models. Default: in --out.")
]
PriceIn = Annotated[Optional[float], typer.Option("--price-in", min=0, help="USD per million prompt tokens.")]
PriceOut = Annotated[Optional[float], typer.Option("--price-out", min=0, help="USD per million answered tokens.")]
Budget = Annotated[
    Optional[float], typer.Option("--budget", min=0, help="Largest amount in USD that this run may spend.")
]

Dump = Annotated[
    Optional[Path],
    typer.Option(
        "--dump",
        help="Wikidata JSON dump: .json, .bz2, .gz or .zst; - is standard input. Default: the bundled sample dump.",
    ),
]
WrittenLabels = Annotated[
    Optional[list[Path]],
    typer.Option(
        "--labels",
        help="Table of labels written by people, used where Wikidata has none: tab separated, a column qid and one for "
        "each language. May be repeated; earlier tables take precedence.",
    ),
]
Facts = Annotated[
    Optional[int], typer.Option("--facts", min=1, help="Facts to release, over all relations and splits.")
]
Seed = Annotated[Optional[int], typer.Option("--seed", min=0, help="Seed of every random choice.")]
Workers = Annotated[
    Optional[int], typer.Option("--workers", min=1, help="Worker processes. The result does not depend on it.")
]
Backfill = Annotated[
    Optional[bool],
    typer.Option(
        "--backfill", help="Fetch labels that the dump lacks from Wikidata's API; answers are cached in --out."
    ),
]
Offline = Annotated[
    Optional[bool], typer.Option("--offline", help="With --backfill: use cached answers, send no requests.")
]
Contact = Annotated[
    Optional[str], typer.Option("--contact", help="With --backfill: e-mail address or URL shown to Wikimedia.")
]
Source = Annotated[
    Optional[str], typer.Option("--questions", help="Source of the questions: `template` (the default) or `model`.")
]
Model = Annotated[Optional[str], typer.Option("--model", help="Name of the model on the server.")]
BaseUrl = Annotated[
    Optional[str],
    typer.Option("--base-url", help="OpenAI-compatible endpoint, such as http://host:8000/v1. Default: none."),
]
Verification = Annotated[
    Optional[Path],
    typer.Option("--verification", help="Table of `polyfact verify report`: the judged labels decide tiers."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another build in --out.")]

Release = Annotated[str, typer.Argument(help="Release folder, or owner/name[@revision] on the Hub.")]
ReleaseOption = Annotated[str, typer.Option("--release", help="Folder, or owner/name[@revision] on the Hub.")]
Languages = Annotated[
    Optional[list[str]], typer.Option("--language", help="Language code; may be repeated. Default: all languages.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

BatchFolder = Annotated[
    Optional[Path],
    typer.Option("--to", help="New folder for the files. Default: next in `batches` of --out or --folder."),
]
MaxRequests = Annotated[int, typer.Option("--max-requests", min=1, max=50_000, help="Requests in one file.")]
MaxMb = Annotated[int, typer.Option("--max-mb", min=1, max=200, help="Megabytes of one file.")]
IncludePending = Annotated[
    bool, typer.Option("--include-pending", help="Also requests of earlier files that have no answer yet.")
]
ExecutorName = Annotated[
    Optional[str],
    typer.Option("--executor", help="Where tasks run (by datatrove): `local`, `slurm` or `ray`."),
]
Tasks = Annotated[int, typer.Option("--tasks", min=1, help="With --executor: tasks into which the work is divided.")]
BatchFiles = Annotated[list[Path], typer.Argument(help="Output and error files, in any order, whole or partial.")]


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The build folder, the configuration with its most frequent settings, and what is shown.

    The fields are arguments of `build_commands.run` and `merge`.
    """

    out: Out = Path("build")
    facts: Facts = None
    seed: Seed = None
    config_file: ConfigFile = None
    overwrite: Overwrite = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class DumpOptions:
    """What a build reads."""

    dump: Dump = None
    workers: Workers = None
    previous: Previous = None


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """Prices of a model, and what may be spent on it."""

    price_in: PriceIn = None
    price_out: PriceOut = None
    budget: Budget = None

    @property
    def settings(self) -> dict[str, Any]:
        """The same as settings of the configuration."""
        return {
            "llm__price_in_usd": self.price_in,
            "llm__price_out_usd": self.price_out,
            "llm__budget_usd": self.budget,
        }


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The sources of labels that the dump lacks, and of the questions."""

    backfill: Backfill = None
    offline: Offline = None
    contact: Contact = None
    questions: Source = None
    model: Model = None
    base_url: BaseUrl = None
    model_cache: ModelCache = None
    labels: WrittenLabels = None

    @property
    def settings(self) -> dict[str, Any]:
        """The same as settings of the configuration."""
        return {
            "backfill__enabled": self.backfill,
            "backfill__offline": self.offline,
            "backfill__contact": self.contact,
            "questions__source": self.questions,
            "questions__model": self.model,
            "llm__base_url": self.base_url,
            "llm__cache": self.model_cache,
            "labels__written": self.labels or None,
        }


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Place, size and content of batch files."""

    to: BatchFolder = None
    max_requests: MaxRequests = 2_000
    max_mb: MaxMb = 100
    include_pending: IncludePending = False

    @property
    def max_bytes(self) -> int:
        """Largest size of a file."""
        return self.max_mb * 1_000_000


@dataclass(frozen=True, kw_only=True)
class QuestionOptions:
    """A build whose questions a model writes, with the inputs that its questions depend on."""

    out: Out = Path("build")
    previous: Previous = None
    objections: Objections = None
    model_cache: ModelCache = None


def executor_kind(name: str) -> Executor:
    """The executor of a name. Raises `typer.BadParameter` for another name."""
    # Imported here: help is shown without the libraries of the configuration.
    from polyfact_dataset.pipeline.executors import Executor

    if name not in get_args(Executor):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(get_args(Executor))}", param_hint="--executor")
    return cast("Executor", name)


# Replaced names of options and commands. They still work and are hidden in the help.
_REPLACED = {
    "lang": "language",
    "output": "out",
    "again": "include-pending",
    "answers": "cache-from",
    "write-batches": "export-batches",
    "read-batches": "import-batches",
}


def accept_replaced_names() -> dict[str, Any]:
    """Context settings: help may be 120 wide, and the replaced names of options and subcommands are accepted."""
    return {"max_content_width": 120, "token_normalize_func": lambda name: _REPLACED.get(name, name)}
