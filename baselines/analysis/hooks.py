"""Hooks into causal language models with gated MLPs and standard attention: Qwen2, OLMo2, Llama, Gemma.

The hooks only pass tensors on, or scale them. Shapes: B sequences, T positions, H heads, D per head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from polyfact_dataset.common.errors import ConfigError

See = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model that the analyses need; `heads` per layer, `width` neurons per MLP."""

    backbone: Any
    blocks: list[Any]
    final_norm: Any
    unembedding: Any
    heads: int
    width: int

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return len(self.blocks)


def anatomy(network: Any) -> Anatomy:
    """Finds the parts of `network`. Raises `ConfigError` for an architecture without gated MLPs or `o_proj`."""
    backbone = network.get_decoder()
    kind = type(network).__name__
    blocks = list(getattr(backbone, "layers", []))
    for number, block in enumerate(blocks):
        lacking = [
            name
            for name in ("mlp.gate_proj", "mlp.act_fn", "self_attn.o_proj")
            if not isinstance(_part(block, name), torch.nn.Module)
        ]
        if lacking:
            raise ConfigError(
                f"{kind}: layer {number} has no {', '.join(lacking)}; needed are gated MLPs and attention"
            )
    if not blocks or not hasattr(backbone, "norm"):
        raise ConfigError(f"{kind} has no list of layers with a final norm; use a Qwen2, OLMo2, Llama or Gemma model")
    heads = int(network.config.get_text_config().num_attention_heads)
    width = int(blocks[0].mlp.gate_proj.out_features)
    return Anatomy(backbone, blocks, backbone.norm, network.get_output_embeddings(), heads, width)


def _part(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


@contextmanager
def gate_activations(parts: Anatomy, see: See) -> Iterator[None]:
    """Calls `see(layer, values)` with act(gate(x)), (B, T, width), of every MLP during forward passes."""

    def hook(layer: int) -> Callable[..., None]:
        return lambda module, inputs, output: see(layer, output)

    with ExitStack() as stack:
        for layer, block in enumerate(parts.blocks):
            stack.callback(block.mlp.act_fn.register_forward_hook(hook(layer)).remove)
        yield


@contextmanager
def head_mask(parts: Anatomy, mask: torch.Tensor) -> Iterator[None]:
    """Multiplies each head's attention output by `mask[layer, head]` before the output projection.

    `mask` is (layers, H); gradients reach it. With all ones the model is unchanged.
    """

    def hook(layer: int) -> Callable[..., tuple[Any, ...]]:
        def scale(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            values = inputs[0]
            weights = mask[layer].to(values)
            parted = values.unflatten(-1, (parts.heads, -1)) * weights[:, None]
            return (parted.flatten(-2), *inputs[1:])

        return scale

    with ExitStack() as stack:
        for layer, block in enumerate(parts.blocks):
            stack.callback(block.self_attn.o_proj.register_forward_pre_hook(hook(layer)).remove)
        yield


@contextmanager
def block_outputs(parts: Anatomy, see: See) -> Iterator[None]:
    """Calls `see(layer, states)` with the residual stream, (B, T, hidden), after every block, before the final norm."""

    def hook(layer: int) -> Callable[..., None]:
        return lambda module, inputs, output: see(layer, output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        for layer, block in enumerate(parts.blocks):
            stack.callback(block.register_forward_hook(hook(layer)).remove)
        yield
