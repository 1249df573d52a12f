"""Global-MMLU through lm-evaluation-harness, with its Transformers or vLLM backend.

    python -m baselines.evaluate.global_mmlu --model M --engine vllm --output g.json

The tasks are lm_eval's `global_mmlu_full_<lang>` (paper, appendix A). With `--lite` they are `global_mmlu_<lang>`,
which in spite of its name is Global-MMLU-Lite; such results are named Lite and never compared with full ones.
Languages are evaluated one after the other; the same command resumes a killed run at the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from baselines.cli import need
from baselines.evaluate import common, options, results
from baselines.evaluate.attributes import ItemAttributes, append
from baselines.evaluate.common import Run
from baselines.evaluate.engines import Engine
from baselines.models import Model, identify, label_of, load_model, loading
from polyfact_dataset.catalog.language import known
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import digest_json

LETTERS = ("A", "B", "C", "D")
# Source: paper, appendix A.
GPU_MEMORY = 0.85


def task_name(code: str, lite: bool) -> str:
    """lm_eval's name of Global-MMLU, or of Global-MMLU-Lite, in a language."""
    return f"global_mmlu_{code}" if lite else f"global_mmlu_full_{code}"


def task_manager(languages: Sequence[str], lite: bool, include_path: Path | None = None) -> Any:
    """lm_eval's Global-MMLU tasks in the languages, and those of a folder, which take precedence.

    To read all of lm_eval's tasks takes long; those of Global-MMLU alone are thousands of files.
    """
    from lm_eval import tasks

    bundled = Path(tasks.__file__).parent / "global_mmlu"
    folders = [bundled / ("default" if lite else "full") / code for code in languages]
    paths = folders if all(path.is_dir() for path in folders) else [bundled]
    return tasks.TaskManager(include_defaults=False, include_path=[str(p) for p in (*paths, include_path) if p])


def check_tasks(manager: Any, languages: Sequence[str], lite: bool) -> None:
    """Raises `ConfigError` for a language that lm_eval has no such task in."""
    missing = [code for code in languages if task_name(code, lite) not in manager.all_tasks]
    if missing:
        kind = "Global-MMLU-Lite" if lite else "Global-MMLU"
        raise ConfigError(f"lm_eval has no {kind} in {', '.join(missing)}; leave them out of --languages")


def vllm_arguments(model: str, revision: str | None, dtype: str, extra: str | None) -> dict[str, Any]:
    """What lm_eval's vLLM backend is started with; `extra` is `key=value,...` and takes precedence."""
    from lm_eval.utils import simple_parse_args_string

    arguments = {"pretrained": model, "revision": revision, "dtype": dtype, "gpu_memory_utilization": GPU_MEMORY}
    return {**arguments, **simple_parse_args_string(extra)}


def start(
    model: str,
    revision: str | None,
    engine: str,
    dtype: str,
    device: str | None,
    extra: str | None,
    base_url: str | None,
) -> tuple[Engine, Any]:
    """The engine for the result, and as lm_eval runs it. A server must echo log-probabilities of the prompt."""
    if engine == "openai":
        from lm_eval.models.openai_completions import LocalCompletionsAPI

        from baselines.evaluate.engines.api import ApiEngine

        connected = ApiEngine.connect(model, base_url, chat=False)
        server = f"{str(connected.client.base_url).rstrip('/')}/completions"
        return connected, LocalCompletionsAPI(model=model, base_url=server, tokenizer_backend=None)
    from baselines.evaluate.engines.hf import HfEngine

    if engine == "hf":
        from lm_eval.models.huggingface import HFLM

        loaded = load_model(model, revision, dtype, device)
        return HfEngine(loaded), HFLM(pretrained=loaded.network, tokenizer=loaded.tokenizer, batch_size="auto")
    need("vllm", "vllm")
    import torch
    from lm_eval.models.vllm_causallms import VLLM
    from transformers import AutoConfig, AutoTokenizer

    with loading(model):
        config = AutoConfig.from_pretrained(model, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    identity = identify(model, revision, config, tokenizer, dtype)
    harness = VLLM(**vllm_arguments(model, revision, dtype, extra), batch_size="auto")
    return HfEngine(Model(None, tokenizer, torch.device("cuda"), identity)), harness


def choices_table(code: str, samples: dict[str, list[dict[str, Any]]]) -> pa.Table:
    """lm_eval's samples of one language by task, as rows of `results.CHOICES` with the items' digest as metadata."""
    columns: dict[str, list[Any]] = {name: [] for name in results.CHOICES.schema.names}
    items = []
    for name in sorted(samples):
        for sample in sorted(samples[name], key=lambda one: int(one["doc_id"])):
            doc = sample["doc"]
            fact = str(doc.get("sample_id") or f"{name}/{sample['doc_id']}")
            target = str(sample["target"])
            gold = LETTERS.index(target) if target in LETTERS else int(target)
            items.append([fact, sample["doc_hash"]])
            for option, (logprob, _) in enumerate(sample["filtered_resps"]):
                letter = LETTERS[option]
                row = (fact, str(doc.get("subject", name)), code, option, letter, letter, option == gold)
                append(columns, (*row, float(logprob), None, 1, 1, *ItemAttributes().row(fact, code, None, None)))
    table = results.table_of("global_mmlu", columns)
    return table.replace_schema_metadata({b"items": digest_json(items).encode()})


def evaluate(
    run: Run, harness: Any, languages: Sequence[str], lite: bool, limit: int | None, manager: Any, chat: bool = False
) -> None:
    """Evaluates language after language and writes the result. Raises `ConfigError` under several processes."""
    from huggingface_hub.errors import HfHubHTTPError
    from lm_eval import simple_evaluate

    from baselines.evaluate.summary import summarise_choices

    name = "global_mmlu_lite" if lite else "global_mmlu_full"
    about: dict[str, Any] = {"source": name, "config": name, "split": "test", "revision": None, "content": None}
    planned = results.Data(**about, facts=0, languages=tuple(languages), digests={})
    prompt = results.Prompt(style="global_mmlu", sha256=digest_json([task_name(code, lite) for code in languages]))
    settings = {
        "tasks": [task_name(code, lite) for code in languages],
        "limit": limit,
        "backend": type(harness).__name__,
        "chat": chat,
    }
    work = run.shards("global_mmlu", planned, prompt, settings)
    if work.processes > 1:
        raise ConfigError(
            "global_mmlu runs in one process; for several GPUs use --engine vllm with tensor_parallel_size"
        )

    def compute(number: int) -> pa.Table:
        code = languages[number]
        task = task_name(code, lite)
        try:
            evaluated = simple_evaluate(
                model=harness,
                tasks=[task],
                limit=limit,
                task_manager=manager,
                bootstrap_iters=0,
                apply_chat_template=chat,
            )
        except (ConnectionError, HfHubHTTPError) as error:
            raise RetryableError(f"the data of lm_eval's {task} cannot be fetched now: {error}") from error
        return choices_table(code, evaluated["samples"])

    work.run(len(languages), compute, "languages", run.quiet)
    tables, seconds = work.tables(len(languages))
    table = pa.concat_tables(tables)
    digests = {code: part.schema.metadata[b"items"].decode() for code, part in zip(languages, tables)}
    facts = len(set(table["fact_id"].to_pylist()))
    run.describe(results.Data(**about, facts=facts, languages=tuple(languages), digests=digests))
    result = run.finish(
        work,
        table.replace_schema_metadata(None),
        metrics=summarise_choices(table, languages, ("sum",)),
        counts={},
        speed=common.speed(sum(len(part) for part in tables) // len(LETTERS), seconds, 1, None),
    )
    common.print_choices(result, run.output)


@option_groups
def main(
    model: options.ModelName,
    target: options.RunOptions,
    engine: Annotated[str, typer.Option("--engine", "--backend", help="hf, vllm or openai.")] = "hf",
    base_url: options.BaseUrl = None,
    chat: options.Chat = False,
    lite: Annotated[bool, typer.Option("--lite", help="Global-MMLU-Lite instead of the full set.")] = False,
    languages: Annotated[
        str,
        typer.Option(help="Codes, separated by commas; paper; or all: those with a language file that lm_eval has."),
    ] = "paper",
    limit: Annotated[int | None, typer.Option(min=1, help="So many questions per subject.")] = None,
    include_path: Annotated[Path | None, typer.Option(help="Folder with more lm_eval tasks.")] = None,
    model_args: Annotated[str | None, typer.Option(help="More arguments for vLLM: key=value,...")] = None,
    revision: options.Revision = None,
    dtype: options.Dtype = "auto",
    device: options.Device = None,
    label: options.Label = None,
) -> None:
    """Evaluate Global-MMLU with lm-evaluation-harness."""
    common.prepare(target, engine)
    need("eval", "lm_eval")
    options.EngineOptions(engine=engine, base_url=base_url)  # checks them
    codes = options.split_list(languages)
    manager = task_manager(codes or known(), lite, include_path)
    codes = codes or tuple(code for code in known() if task_name(code, lite) in manager.all_tasks)
    check_tasks(manager, codes, lite)
    loaded, harness = start(model, revision, engine, dtype, device, model_args, base_url)
    run = Run(target.output, None, label_of(model, label), target.seed, target.quiet, target.overwrite, loaded)
    evaluate(run, harness, codes, lite, limit, manager, chat)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
