"""Models whose weights are spread over processes (FSDP, ZeRO-3)."""

from __future__ import annotations

from typing import Any


def is_sharded(trainer: Any) -> bool:
    """Whether a forward pass needs weights of other processes, so that all must make the same number of passes."""
    accelerator = trainer.accelerator
    if accelerator.num_processes == 1:
        return False
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    return bool(trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3))


def gather_full_weights(trainer: Any) -> None:
    """Makes the next `save_model` write the whole weights in one piece, whatever form checkpoints have."""
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if trainer.is_fsdp_enabled and plugin is not None:
        plugin.set_state_dict_type("FULL_STATE_DICT")
