"""`polyfact verify`: one subcommand per verb; no logic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.cli.options import BatchFiles, BatchOptions, ConfigFile, CostOptions, Quiet

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--folder", help="Folder with sample, judgements and reviews.")]
Model = Annotated[Optional[str], typer.Option("--model", help="The judge: the model's name on the server.")]
Api = Annotated[
    Optional[str], typer.Option("--api", help="`responses` (web search; the default) or `chat`, for other servers.")
]
Search = Annotated[
    Optional[bool], typer.Option("--search/--no-search", help="Whether the judge may search the web (responses only).")
]
Parallel = Annotated[
    bool, typer.Option("--parallel", help="Judge facts: the questions in all languages at once against the triple.")
]
SelfTest = Annotated[
    bool, typer.Option("--self-test", help="Judge planted defects first; a judge that misses them is not used.")
]
First = Annotated[
    Optional[int], typer.Option("--items", min=1, help="Only this many items of each language, from the first.")
]
BaseUrl = Annotated[Optional[str], typer.Option("--base-url", help="OpenAI-compatible endpoint. Default: OpenAI's.")]
ModelCache = Annotated[
    Optional[Path], typer.Option("--model-cache", help="SQLite file with all answers of models. Default: in --folder.")
]
PriceSearch = Annotated[Optional[float], typer.Option("--price-search", min=0, help="USD per thousand web searches.")]
Seed = Annotated[Optional[int], typer.Option("--seed", min=0, help="Seed of the sample.")]
_HERE = Path("verification")


@dataclass(frozen=True, kw_only=True)
class JudgedOptions:
    """What is judged, by which model, with which tools."""

    folder: Folder = _HERE
    model: Model = None
    parallel: Parallel = False
    self_test: SelfTest = False
    items: First = None
    api: Api = None
    search: Search = None
    model_cache: ModelCache = None
    config: ConfigFile = None

    def judge_options(self) -> Any:
        """The same as `JudgeOptions`."""
        from polyfact_dataset.verification.judge import JudgeOptions

        return JudgeOptions(self.folder, self.parallel, self.self_test, self.items)

    def configuration(self, **overrides: Any) -> Any:
        """The configuration with these options."""
        tool = None if self.search is None else "web_search" if self.search else ""
        return _config(
            self.config,
            verification__search_tool=tool,
            verification__model=self.model,
            verification__api=self.api,
            llm__cache=self.model_cache,
            **overrides,
        )


def _config(file: Path | None, **overrides: Any) -> Any:
    from polyfact_dataset.config.build import load_config

    return load_config(file, **overrides)


@app.command("sample")
def sample_command(
    release: Annotated[Path, typer.Argument(help="Release folder that `polyfact build` wrote.")],
    folder: Folder = _HERE,
    items: Annotated[Optional[int], typer.Option("--items", min=1, help="Items of each language (300).")] = None,
    census: Annotated[bool, typer.Option("--census", help="All items of the splits, in place of a sample.")] = False,
    split: Annotated[
        Optional[list[str]], typer.Option("--split", help="Draw from this split; may be repeated. Default: all.")
    ] = None,
    language: Annotated[
        Optional[list[str]], typer.Option("--language", help="Draw this language; may be repeated. Default: all.")
    ] = None,
    independent: Annotated[
        bool, typer.Option("--independent", help="Different facts in every language; by default they are the same.")
    ] = False,
    seed: Seed = None,
    config: ConfigFile = None,
) -> None:
    """Draw the items to judge: a seeded sample of every language, balanced over relations, or a census."""
    from polyfact_dataset.verification.sampling import Draw, write_sample

    settings = _config(config, seed=seed, verification__items=items)
    number = None if census else settings.verification.items
    draw = Draw(number, settings.seed, tuple(split or ()), tuple(language or ()), independent)
    write_sample(release, folder, draw)


@app.command("judge")
@option_groups
def judge_command(
    judged: JudgedOptions,
    cost: CostOptions,
    base_url: BaseUrl = None,
    cached: Annotated[bool, typer.Option("--cached", help="Send no requests; use cached answers.")] = False,
    price_search: PriceSearch = None,
    quiet: Quiet = False,
) -> None:
    """Label the sample by a model: correct, ambiguous or incorrect, with reasons and cited pages."""
    from polyfact_dataset.common.progress import Log
    from polyfact_dataset.verification import judge

    config = judged.configuration(llm__base_url=base_url, llm__price_search_usd=price_search, **cost.settings)
    judge.run(judged.judge_options(), judge.with_endpoint(config, cached), Log(quiet=quiet))


@app.command("export-batches")
@option_groups
def export_batches_command(judged: JudgedOptions, batches: BatchOptions) -> None:
    """Write the judge's requests as OpenAI Batch files (JSON lines)."""
    from polyfact_dataset.verification import judge

    judge.write_batches(
        judged.judge_options(),
        judged.configuration(),
        batches.to,
        max_requests=batches.max_requests,
        max_bytes=batches.max_bytes,
        include_pending=batches.include_pending,
    )


@app.command("import-batches")
def import_batches_command(
    files: BatchFiles,
    folder: Folder = _HERE,
    model_cache: ModelCache = None,
) -> None:
    """Import the answers of batch files; afterwards run `polyfact verify judge --cached`."""
    from polyfact_dataset.verification import judge

    judge.read_batches(files, folder, model_cache)


@app.command("review")
def review_command(
    folder: Folder = _HERE,
    language: Annotated[
        str, typer.Option("--language", help="Language to review; entered on the page if left out.")
    ] = "",
    reviewer: Annotated[
        str, typer.Option("--reviewer", help="Name of the reviewer; entered on the page if left out.")
    ] = "",
    items: First = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 7860,
) -> None:
    """Open a local page on which people label the sample; every click is on disk before the next item shows."""
    from polyfact_dataset.verification import page

    page.serve(folder, reviewer=reviewer, code=language, port=port, first=items)


@app.command("export")
def export_command(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file to write.")],
    language: Annotated[str, typer.Option("--language", help="Language to review.")],
    folder: Folder = _HERE,
    reviewer: Annotated[str, typer.Option("--reviewer", help="Include the labels of this reviewer.")] = "",
    items: First = None,
) -> None:
    """Write the items of a language as CSV, for those who prefer a spreadsheet; fill in `label` and `note`."""
    from polyfact_dataset.verification import sheets

    print(f"{sheets.export(folder, language, to, reviewer=reviewer, first=items):,} items: {to}")


@app.command("import")
def import_command(
    sheet: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file with labels.")],
    reviewer: Annotated[str, typer.Option("--reviewer", help="Reviewer who gave the labels.")],
    folder: Folder = _HERE,
) -> None:
    """Import the labels of a CSV file; labels that are already imported are skipped."""
    from polyfact_dataset.verification import sheets

    counts = sheets.import_sheet(folder, sheet, reviewer=reviewer)
    print(", ".join(f"{name} {counts[name]:,}" for name in ("new", "changed", "same", "missing")))


@app.command("report")
def report_command(
    folder: Folder = _HERE,
    judge: Annotated[str, typer.Option("--judge", help="Start of the judge's name, where there are several.")] = "",
    drift: Annotated[str, typer.Option("--drift", help="The same for the judge of all languages at once.")] = "",
    relaxed: Annotated[
        bool, typer.Option("--relaxed", help="Also count judge `correct`, reviewer `ambiguous` as agreeing.")
    ] = False,
    config: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Agreement and ambiguity with intervals; write the table for `polyfact build --verification`."""
    from polyfact_dataset.verification import report

    report.run(folder, _config(config), judge=judge, drift=drift, relaxed=relaxed, quiet=quiet)
