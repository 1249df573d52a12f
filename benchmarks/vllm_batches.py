"""Questions and judgements through real vLLM, killed midway: `python -m benchmarks.vllm_batches serve|batch`.

`serve` builds with a model's questions from `vllm serve` with guided JSON, kills the build with SIGKILL at a third and
at two thirds, and finishes it. `batch` goes through `vllm run-batch` and batch files: first `run-batch` alone is killed
in the middle of a file, then the build with the `run-batch` that it waits for. Both then print what the build counted,
against what is in the cache and what the server was asked. It needs the environment of
`python -m tests.environments.vllm --make`. The model has 135 million parameters: its questions are worthless, and
almost all become template questions; what is measured is that nothing is lost, and that nothing is asked twice.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from polyfact_dataset.common.files import read_json
from polyfact_dataset.llm.cache import CACHE_NAME
from tests.environments.vllm import MODEL, NAME, run_batch, serving

_CONFIG = """
facts = {facts}
relations = ["P19", "P36", "P50"]
[questions]
fallback = "template"
parameters = {{ temperature = 0.1, top_p = 0.9, max_tokens = {tokens} }}
[llm]
seed = false
in_flight = {in_flight}
timeout_s = 600
deadline_s = 1800
"""


def _command(verb: str, options: argparse.Namespace, *more: object) -> list[str]:
    shared = ["--config", options.out / "polyfact.toml", "--out", options.out / "build"]
    model = ["--questions", "model", "--model", NAME, "--quiet"]
    return [sys.executable, "-m", "polyfact_dataset.cli", verb, *map(str, (*shared, *model, *more))]


def _answers(options: argparse.Namespace) -> int:
    path = options.out / "build" / CACHE_NAME
    if not path.is_file():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def _until(process: subprocess.Popen[bytes], options: argparse.Namespace, answers: int) -> None:
    while process.poll() is None and _answers(options) < answers:
        time.sleep(0.2)
    if process.poll() is not None:
        raise RuntimeError(f"the build ended by itself with {process.returncode}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _serve(options: argparse.Namespace, url: str) -> float:
    """Builds, killed twice; the seconds of asking."""
    started = time.monotonic()
    expected = options.facts * 12 * 2  # almost all answers fail, and are asked for again
    command = _command("questions", options, "--base-url", url)
    for part in (1 / 3, 2 / 3):
        _until(subprocess.Popen(command, start_new_session=True), options, int(expected * part))
        print(f"killed at {_answers(options)} answers after {time.monotonic() - started:.0f} s", flush=True)
    subprocess.run(command, check=True)
    return time.monotonic() - started


def _rounds(options: argparse.Namespace) -> None:
    """Round after round of batch files until none is left; what is there already is not made again."""
    build = options.out / "build"
    base = [sys.executable, "-m", "polyfact_dataset.cli", "questions"]
    while True:
        files = sorted((build / "batches").glob("*/*.jsonl"))
        if not (waiting := [path for path in files if not path.with_suffix(".imported").exists()]):
            command = [*base, "export-batches", "--out", build, "--max-requests", str(options.max_requests)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if sorted((build / "batches").glob("*/*.jsonl")) == files:
                return
            continue
        for path in waiting:
            if not (output := path.with_suffix(".output")).exists():
                run_batch(path, path.with_suffix(".part"), options.out / "vllm.log", options.model)
                path.with_suffix(".part").rename(output)
            subprocess.run([*base, "import-batches", output, "--out", build], check=True)
            path.with_suffix(".imported").touch()


def _batch(options: argparse.Namespace) -> float:
    """Rounds in their own process. `run-batch` is killed under them, then they are, with all that they started."""
    started, log = time.monotonic(), options.out / "vllm.log"
    tokens = ("--tokens", options.tokens, "--max-requests", options.max_requests, "--model", options.model)
    command = [sys.executable, "-m", "benchmarks.vllm_batches", "rounds", "--out", options.out, *tokens]
    for only_vllm in (True, False):
        begin = log.stat().st_size if log.is_file() else 0
        rounds = subprocess.Popen(list(map(str, command)), start_new_session=True)
        while not (progress := _progress(log, begin)) or progress[0] < progress[1] * options.kill_at:
            if rounds.poll() is not None:
                raise RuntimeError(f"the rounds ended by themselves with {rounds.returncode}")
            time.sleep(0.2)
        if only_vllm:
            for child in _children(rounds.pid):
                os.kill(child, signal.SIGKILL)
            if rounds.wait() == 0:
                raise RuntimeError("the rounds did not notice that run-batch was killed")
        else:
            os.killpg(rounds.pid, signal.SIGKILL)
            rounds.wait()
        what = "run-batch" if only_vllm else "the build and run-batch"
        print(
            f"killed {what} at {progress[0]} of {progress[1]} requests of a file, {_answers(options)} answers in the "
            f"cache, after {time.monotonic() - started:.0f} s",
            flush=True,
        )
    subprocess.run(list(map(str, command)), check=True)
    took_s = time.monotonic() - started
    files = sorted((options.out / "build" / "batches").glob("*/*.jsonl"))
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    print(f"{len(files)} files, {len(lines)} requests, {len(set(lines))} distinct", flush=True)
    subprocess.run(_command("questions", options), check=True)
    return took_s


def _children(pid: int) -> list[int]:
    """The processes below one, the nearest first."""
    own = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return own + [below for child in own for below in _children(child)]


def _progress(log: Path, begin: int) -> tuple[int, int] | None:
    """Requests answered and requests of the file that `run-batch` is at, by the bar in its log from `begin` on."""
    if not log.is_file():
        return None
    with log.open("rb") as handle:
        handle.seek(begin)
        found = re.findall(rb"Running batch: .*\| (\d+)/(\d+) ", handle.read())
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def _shortened(model: Path, layers: int, folder: Path) -> Path:
    """The model's first layers alone, with its tokenizer and its output layer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(model, num_hidden_layers=layers)
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def _account(options: argparse.Namespace, took_s: float) -> None:
    counts = read_json(options.out / "build" / "manifest.json")["stages"]["questions"]["counts"]
    used, failed = sum(counts["used"].values()), Counter(counts["failed"])
    log = options.log or options.out / "vllm.log"
    # A batch has no requests over HTTP; a request that the killed client no longer waits for has no line.
    posts = log.read_text(errors="replace").count('POST /v1/chat/completions HTTP/1.1" 200') if log.is_file() else 0
    print(f"facts {counts['questions']}, asked {counts['asked']}, sources {counts['sources']}")
    print(f"answers used {used} = in the cache {_answers(options)}; responses that the server logged {posts}")
    print(f"invalid {failed.total()}: {dict(failed.most_common())}")
    print(f"{took_s:.0f} s, {used / took_s:.2f} answers/s")
    if used != _answers(options):
        raise SystemExit("the answers used are not the answers in the cache")


def main() -> None:
    """Runs one mode in a fresh folder, and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("serve", "batch", "rounds"), help="rounds: what `batch` starts and kills")
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--layers", type=int, help="only so many of the model's layers: for many requests on few cores")
    parser.add_argument("--max-requests", type=int, default=2000, help="of a batch file")
    parser.add_argument("--kill-at", type=float, default=0.25, help="share of a file's requests")
    parser.add_argument("--url", help="a server that runs already, in place of a new one")
    parser.add_argument("--log", type=Path, help="the log of that server")
    parser.add_argument("--out", type=Path, default=Path("vllm-run"))
    options = parser.parse_args()
    if options.mode == "rounds":
        return _rounds(options)
    options.out.mkdir(parents=True)
    if options.layers:
        options.model = _shortened(options.model, options.layers, options.out / "model")
    values = {"facts": options.facts, "tokens": options.tokens, "in_flight": options.in_flight}
    (options.out / "polyfact.toml").write_text(_CONFIG.format(**values), encoding="utf-8")
    subprocess.run(_command("namesakes", options), check=True)
    if options.mode == "batch":
        took_s = _batch(options)
    elif options.url:
        took_s = _serve(options, options.url)
    else:
        with serving(options.out / "vllm.log", model=options.model) as (url, _):
            took_s = _serve(options, url)
    _account(options, took_s)


if __name__ == "__main__":
    main()
