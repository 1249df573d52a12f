"""Time and memory of the analyses: on growing text, and for a randomly initialised model of a billion parameters.

    python benchmarks/analysis.py text              # LAPE and LAHIS on 1, 4 and 16 times the text, peak memory
    python benchmarks/analysis.py model --device cuda:0   # every hook on a model of the size of Llama-3.2-1B

Prints Markdown tables.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

LANGUAGES = ("en", "de", "zh")
ROWS = 2000
_RUN = """
import resource, sys, time
from pathlib import Path
from baselines.analysis import lape, lahis
model, text, output, samples = sys.argv[2:6]
options = dict(model=model, text=Path(text), output=Path(output), sample_tokens=128, device="cpu", overwrite=True)
start = time.perf_counter()
if sys.argv[1] == "lape":
    lape.main(**options)
else:
    lahis.main(**options, samples=int(samples), share=0.5)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
"""
app = typer.Typer(add_completion=False)


def _line(rng: random.Random) -> str:
    return " ".join("".join(rng.choices("abcdefghij", k=rng.randint(2, 7))) for _ in range(rng.randint(5, 20)))


@app.command("text")
def on_growing_text(rows: Annotated[int, typer.Option(help="Lines of the smallest text.")] = ROWS) -> None:
    """Peak memory of whole commands, each in a separate process."""
    from baselines.tiny import make

    rng = random.Random(0)
    print("| analysis | rows of text | tokens | samples | seconds | peak MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make("qwen2", folder / "model", (_line(rng) for _ in range(500)), vocabulary=1000)
        for analysis in ("lape", "lahis"):
            for factor in (1, 4, 16):
                text, output = folder / f"{factor}.jsonl", folder / f"{analysis}{factor}.json"
                with text.open("w") as handle:
                    for _ in range(rows * factor):
                        handle.write(json.dumps({code: _line(rng) for code in LANGUAGES}) + "\n")
                command = [sys.executable, "-c", _RUN, analysis, folder / "model", text, output, 1_000_000_000]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
                seconds, peak = map(float, done.stderr.splitlines()[-1].split())
                seen = json.loads(output.read_text())["inputs"]
                tokens = sum(seen["tokens"].values())
                size = f"{rows * factor:,} | {tokens:,} | {seen['samples']:,}"
                print(f"| {analysis} | {size} | {seconds:.1f} | {peak:.0f} |", flush=True)


@app.command("model")
def on_a_large_model(
    device: str = "cuda:0",
    tokens: Annotated[int, typer.Option(help="Tokens per sample.")] = 512,
    samples: int = 8,
    hidden: Annotated[int, typer.Option(help="2048 makes 1.24 billion parameters.")] = 2048,
    layers: int = 16,
) -> None:
    """Each analysis on random tokens through a random Llama; peak memory is of the accelerator, or of the process."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from baselines.analysis.drift import final_states
    from baselines.analysis.lahis import importances
    from baselines.analysis.lape import count_activations
    from baselines.analysis.layer_rank import Probe, rank_probes
    from baselines.analysis.text import Sample

    config = LlamaConfig(
        vocab_size=128_256,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 256,
        tie_word_embeddings=True,
    )
    cuda, rng = device.startswith("cuda"), random.Random(0)
    texts = [Sample({c: rng.choices(range(128_256), k=tokens) for c in LANGUAGES}, 0) for _ in range(samples)]
    probes = [Probe("f", "de", "gold", tuple(sample.ids["en"][:64]), 5, 7) for sample in texts]
    prompts = [sample.ids["en"][:64] for sample in texts]
    work: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "LAPE": (torch.bfloat16, lambda network: count_activations(network, texts, LANGUAGES)),
        "LAHIS": (torch.float32, lambda network: importances(network, texts, LANGUAGES)),
        "layer ranks": (torch.bfloat16, lambda network: rank_probes(network, probes)),
        "drift": (torch.bfloat16, lambda network: final_states(network, prompts)),
    }
    print("| analysis | dtype | sequences x tokens | seconds | peak GB |\n|---|---|---|---|---|")
    for name, (dtype, call) in work.items():
        with torch.device(device):
            network = LlamaForCausalLM(config).to(dtype).eval()
        long = name.startswith("LA")
        shape = f"{samples * len(LANGUAGES)} x {tokens}" if long else f"{samples} x 64"
        call(network)  # warms up
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        start = time.perf_counter()
        call(network)
        if cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        peak = (torch.cuda.max_memory_allocated() if cuda else resident) / 1e9
        print(f"| {name} | {str(dtype).removeprefix('torch.')} | {shape} | {seconds:.2f} | {peak:.1f} |")
        del network
        if cuda:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    app()
