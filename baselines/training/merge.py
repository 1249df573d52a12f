"""Merging an adapter into the model that it was trained on: a plain model that any tool can load.

python -m baselines.training.merge --adapter runs/olmo2_7b_sft/final --output merged/olmo2_7b_sft
"""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from baselines.cli import need
from baselines.models import DTYPES, loading
from baselines.training.run import TRAINING
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json


def merge(adapter: Path, output: Path, base: str | None = None, dtype: str = "auto") -> Path:
    """Writes the merged model and the tokenizer; and the run's record. Weights keep the base's dtype for `auto`.

    Raises `ConfigError` for a folder without an adapter, a missing base and an output that holds something.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    settings = adapter / "adapter_config.json"
    if not settings.is_file():
        raise ConfigError(f"{adapter} holds no adapter; give the folder `final` of a run that trained one")
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output} is not empty; choose another --output")
    if dtype not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; known are {', '.join(DTYPES)}")
    disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)  # peft's concern
    adapter_config = read_json(settings)
    name = base or adapter_config["base_model_name_or_path"]
    kind = dtype if dtype == "auto" else getattr(torch, dtype)
    with loading(name):
        network = AutoModelForCausalLM.from_pretrained(
            name, revision=None if base else adapter_config.get("revision"), dtype=kind
        )
        tokenizer = AutoTokenizer.from_pretrained(adapter)
    merged = PeftModel.from_pretrained(network, str(adapter)).merge_and_unload(safe_merge=True)
    merged.config.use_cache = True
    merged.save_pretrained(output)
    tokenizer.save_pretrained(output)
    if (adapter / TRAINING).is_file():
        shutil.copy(adapter / TRAINING, output / TRAINING)
    return output


def main(
    adapter: Annotated[Path, typer.Option(help="Folder of the adapter, such as runs/olmo2_7b_sft/final.")],
    output: Annotated[Path, typer.Option(help="Folder to write the merged model to.")],
    base: Annotated[str | None, typer.Option(help="The base model, where it lies elsewhere by now.")] = None,
    dtype: Annotated[str, typer.Option(help="auto (the base's), float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Merge an adapter into its base model."""
    need("train", "torch", "transformers", "peft")
    print(f"merged model in {merge(adapter, output, base, dtype)}")


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
