"""The private members of TRL and Transformers that the trainers override or read.

An upgrade that changes one fails here. The first test finds every use in the source, so that a new one must be added.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

import baselines

ROOT = Path(baselines.__file__).parent
FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "training").glob("*.py")])

# Method -> its parameters, as far as we rely on them.
METHODS = {
    "_get_train_sampler": ["self", "dataset"],
    "_prepare_inputs": ["self", "generation_batch"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_generate_single_turn": ["self", "prompt_ids", "images", "multimodal_fields", "num_generations"],
    "_get_per_token_logps_and_entropies": [
        *("self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size")
    ],
}
# Attributes that TRL's GRPOTrainer sets or reads.
GRPO_ATTRIBUTES = {"_buffered_inputs", "_step", "_metrics", "_last_loaded_step"}
SFT_ATTRIBUTES = {"_total_train_tokens"}


def private_uses(path: Path) -> Iterator[str]:
    """Private attributes of `self`, `trainer` or `super()` in a file that no class of the file defines itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assigned = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    # What a subclass of a trainer defines, it overrides.
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Trainer") for base in node.bases):
            methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            yield from (name for name in methods if name.startswith("_") and not name.startswith("__"))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = ast.unparse(node.value)
            of_trainer = owner == "super()" or owner.endswith("trainer")
            if of_trainer or (owner == "self" and node.attr not in defined | assigned):
                yield node.attr


def test_every_use_is_in_the_contract() -> None:
    from transformers import Trainer
    from trl import GRPOTrainer

    used = {name for path in FILES for name in private_uses(path)}
    of_library = {
        name
        for name in used
        if hasattr(GRPOTrainer, name) or hasattr(Trainer, name) or f"self.{name}" in inspect.getsource(GRPOTrainer)
    } | (used & SFT_ATTRIBUTES)
    source = (ROOT / "rollouts.py").read_text(encoding="utf-8")
    of_library |= {name for name in GRPO_ATTRIBUTES if f"self.{name}" in source}
    assert of_library == METHODS.keys() | GRPO_ATTRIBUTES | SFT_ATTRIBUTES | {"_load_best_model"}


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_their_parameters(name: str) -> None:
    from trl import GRPOTrainer

    assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters)[: len(METHODS[name])] == METHODS[name]


def test_attributes_are_set() -> None:
    from trl import GRPOTrainer, SFTTrainer

    for kind, names in ((GRPOTrainer, GRPO_ATTRIBUTES), (SFTTrainer, SFT_ATTRIBUTES)):
        source = inspect.getsource(kind)
        for name in names:
            assert f"self.{name} =" in source or f"self.{name}: " in source, f"{kind.__name__} no longer sets {name}"


def test_trainer_keeps_and_loads_the_best_checkpoint() -> None:
    """`_load_best_model` reads the path from the state; checkpoints are rotated without removing that path."""
    from transformers import Trainer

    assert "self.state.best_model_checkpoint" in inspect.getsource(Trainer._load_best_model)
    assert "best_model_checkpoint=self.state.best_model_checkpoint" in inspect.getsource(Trainer._save_checkpoint)


def test_generation_can_be_replaced() -> None:
    """Our generation returns what TRL's returns, and uses the same configuration."""
    from trl import GRPOTrainer
    from trl.models.utils import unwrap_model_for_generation

    assert "return completion_ids, logprobs" in inspect.getsource(GRPOTrainer._generate_single_turn)
    source = inspect.getsource(GRPOTrainer.__init__)
    assert "self.generation_config = GenerationConfig(" in source and "self.eos_token_ids" in source
    names = {"model", "accelerator", "gather_deepspeed3_params", "generation_kwargs", "gradient_checkpointing_kwargs"}
    assert names == set(inspect.signature(unwrap_model_for_generation).parameters)
