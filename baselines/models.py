"""Load a causal language model from the Hub or a folder, and identify it by revision and digests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.files import digest_json, fingerprint

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
# Of a model, and of a checkpoint in shards by FSDP or ZeRO-3.
_WEIGHTS = (
    *("*.safetensors", "*.bin", "adapter_config.json", "config.json"),
    *("pytorch_model_fsdp_*/*.distcp", "global_step*/*_model_states.pt"),
)


@dataclass(frozen=True)
class Model:
    """A loaded model, its tokenizer, and what identifies them in a result."""

    network: Any
    tokenizer: Any
    device: torch.device
    identity: dict[str, Any]
    # The forward pass runs in bfloat16 under autocast (in training), whatever the dtype of the weights.
    autocast: bool = False

    @property
    def max_tokens(self) -> int:
        """The longest sequence that the configuration states; 2048 where it states none."""
        config = self.network.config.get_text_config()
        names = ("max_position_embeddings", "n_positions", "n_ctx")
        return next((int(getattr(config, name)) for name in names if getattr(config, name, None)), 2048)


def label_of(model: str, label: str | None = None) -> str:
    """What to call a model in tables: `label`, or the last part of its name; of a run's `final`, the run's name."""
    path = Path(model).absolute()
    return label or (path.parent.name if path.name == "final" else path.name)


def processes() -> Any:
    """The processes that `accelerate launch` or `torchrun` started together (accelerate's PartialState)."""
    import torch
    from accelerate import PartialState

    # The default of ten minutes is too short for processes whose shards take unequally long.
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(hours=12))


def pick_device(name: str | None = None) -> torch.device:
    """The named device, or this process's accelerator, or the CPU. Raises `ConfigError` for one that is not there."""
    import torch

    if not name:
        return processes().device
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device {name!r} cannot be used: {reason}; choose another --device") from error


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Translates errors of Transformers and the Hub about a model that cannot be loaded."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        yield
    except ConnectionError as error:
        raise RetryableError(f"model {name} cannot be fetched now: {error}") from error
    except (OSError, ValueError) as error:
        # Transformers reports an unreachable Hub as a missing file; the cause of the error distinguishes the two.
        if isinstance(error.__cause__, LocalEntryNotFoundError):
            raise RetryableError(f"model {name!r} is no folder, and the Hub cannot be reached for it") from error
        text = " ".join(str(error).split())
        raise ConfigError(
            f"model {name!r} is neither a folder with a causal language model nor one on the Hub: {text}"
        ) from error


def load_model(
    name: str,
    revision: str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    device_map: str | None = None,
) -> Model:
    """Loads a model, or an adapter with its base, for inference.

    `dtype` auto is bfloat16 on an accelerator (paper, appendix A) and float32 on the CPU. `device_map` spreads a model
    over several devices (`auto`). Raises `ConfigError` when there is no such model or dtype.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    if dtype not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; known are {', '.join(DTYPES)}")
    disable_progress_bar()
    target = pick_device(device)
    kind = getattr(torch, dtype if dtype != "auto" else "float32" if target.type == "cpu" else "bfloat16")
    with loading(name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        spread = {"device_map": device_map} if device_map else {}
        network = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype=kind, **spread)
    if not device_map:
        network = network.to(target)
    network.eval()
    identity = identify(name, revision, network.config, tokenizer, dtype=str(kind).removeprefix("torch."))
    identity["parameters"] = sum(p.numel() for p in network.parameters())
    return Model(network, tokenizer, network.device, identity)


def identify(name: str, revision: str | None, config: Any, tokenizer: Any, dtype: str) -> dict[str, Any]:
    """Name, revision and digests: equal for two runs of the same model, in whatever folder."""
    folder = Path(name)
    files = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}) if folder.is_dir() else []
    commit = getattr(config, "_commit_hash", None) or revision
    if not files and not commit:
        raise DataError(f"model {name}: neither weights in a folder nor a commit of the Hub identify it")
    return {
        "name": name,
        "revision": None if files else commit,
        "weights": digest_json([[path.name, fingerprint(path)] for path in files]) if files else None,
        "tokenizer": digest_json(sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])),
        "dtype": dtype,
    }
