"""The probe of GRPO's rollouts against real vLLM: `python -m benchmarks.vllm_parity --dataset build/release --url URL`.

A `vllm serve` of `--served-model-name NAME` (as `tests.environments.vllm` starts it) completes prompts of GRPO at
temperature 1; the trainer of the same model compares its log-probabilities of these tokens. Then the server is the
wrong one twice: it keeps its weights while the trainer's are perturbed, and the trainer has another model.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from baselines.grpo import GrpoConfig, make_trainer
from baselines.training.run import Run
from polyfact_dataset.common.errors import DataError
from tests.environments.vllm import MODEL, NAME


def engine(url: str, tokens: int, prompts: list[list[int]]) -> Any:
    """Completions of the server and their log-probabilities, as TRL's vLLM engine returns them."""
    body = {"model": NAME, "prompt": prompts, "max_tokens": tokens, "temperature": 1.0, "logprobs": 1}
    data = json.dumps({**body, "return_token_ids": True}).encode()
    request = urllib.request.Request(f"{url}/completions", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        choices = sorted(json.load(response)["choices"], key=lambda choice: choice["index"])
    return [choice["token_ids"] for choice in choices], [choice["logprobs"]["token_logprobs"] for choice in choices]


def trainer_of(model: Path, dataset: Path, folder: Path) -> Any:
    """GRPO's trainer before its first step, in full precision."""
    config = GrpoConfig.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            "dataset": {"source": str(dataset), "languages": ["en", "de", "ar", "ja"], "max_facts": 2},
            "optimisation": {"learning_rate": 1e-5, "batch": 8, "precision": "fp32"},
            "rollouts": {"generations": 2, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "min_feasible": 0},
            "output": {"folder": str(folder)},
        }
    )
    return make_trainer(Run.start(config), config)


def main() -> None:
    """Prints the mean difference per token of the three cases, and what the probe says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--url", required=True, help="of the server, with /v1")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--other", type=Path, required=True, help="a model with the same tokenizer")
    options = parser.parse_args()
    for model in (options.model, options.other):
        with tempfile.TemporaryDirectory() as folder:
            trainer = trainer_of(model, options.dataset, Path(folder) / "run")
            prompts = [trainer.processing_class(row["prompt"])["input_ids"] for row in trainer.train_dataset]
            try:
                trainer.probe(prompts, lambda: engine(options.url, 8, prompts))  # noqa: B023
            except DataError as error:
                print(f"{model.name}: stopped: {error}")
            print(f"{model.name}: mean differences per token {trainer._metrics['train']['parity']}", flush=True)


if __name__ == "__main__":
    main()
