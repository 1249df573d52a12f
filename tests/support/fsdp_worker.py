"""A trainer under FSDP on CPUs: `python -m tests.support.fsdp_worker MODULE --config FILE`, one process of several.

Accelerate offers FSDP to accelerators alone, though PyTorch's FSDP2 works on CPUs with gloo. Here its state takes the
plugin on CPUs too; everything else is as `accelerate launch` with the environment of a configuration file sets it up.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from baselines.cli import run

_init = AcceleratorState.__init__


def _with_fsdp(self: Any, *arguments: Any, fsdp_plugin: Any = None, **named: Any) -> None:
    _init(self, *arguments, fsdp_plugin=fsdp_plugin, **named)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


_get_state_dict = Accelerator.get_state_dict


def _gathered(self: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
    """The gathered weights: on CPUs Accelerate does not know that this is FSDP2, and leaves them in shards."""
    state = _get_state_dict(self, *arguments, **named)
    return {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in state.items()}


if __name__ == "__main__":
    Accelerator.get_state_dict = _gathered  # type: ignore[method-assign]
    AcceleratorState.__init__ = _with_fsdp  # type: ignore[method-assign]
    module = importlib.import_module(sys.argv.pop(1))
    if module.__name__ == "baselines.grpo":
        from tests.support.grpo_worker import HashJudge

        module.OptionJudge = HashJudge
    sys.exit(run(module.main))
