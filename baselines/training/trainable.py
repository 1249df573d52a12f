"""The model of a run: loaded with its tokenizer, and with a fresh adapter unless all weights are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baselines.models import identify, loading
from baselines.training.config import TrainingConfig
from polyfact_dataset.common.errors import ConfigError


def load_trainable(config: TrainingConfig) -> tuple[Any, Any, dict[str, Any]]:
    """The model with a fresh adapter if `lora` is set, the tokenizer (padding left), and the model's identity.

    Raises `ConfigError` when there is no such model, when it is an adapter itself, and when `prompt.chat` is set for a
    tokenizer without a chat template.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = config.model
    if (Path(model.name) / "adapter_config.json").is_file():
        raise ConfigError(
            f"{model.name} is an adapter; merge it first: "
            f"python -m baselines.training.merge --adapter {model.name} --output FOLDER"
        )
    with loading(model.name):
        tokenizer = AutoTokenizer.from_pretrained(model.name, revision=model.revision, padding_side="left")
        attention = {"attn_implementation": model.attention} if model.attention else {}
        network = AutoModelForCausalLM.from_pretrained(
            model.name, revision=model.revision, dtype=getattr(torch, model.dtype), **attention
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"the tokenizer of {model.name} has neither eos_token nor pad_token; add one to its files")
    identity = identify(model.name, model.revision, network.config, tokenizer, model.dtype)
    network.config.use_cache = False
    return (_with_adapter(network, config) if config.lora else network), tokenizer, identity


def _with_adapter(network: Any, config: TrainingConfig) -> Any:
    import peft

    lora = config.lora
    assert lora
    modules = lora.target_modules
    settings = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )
    try:
        return peft.get_peft_model(network, settings)
    except ValueError as error:
        raise ConfigError(f"lora.target_modules {modules!r}: {' '.join(str(error).split())}") from error
