"""Questions and judgements through real vLLM, killed midway: `python -m benchmarks.vllm_batches serve|batch`.

`serve` builds with a model's questions from `vllm serve` with guided JSON, kills the build with SIGKILL at a third and
at two thirds, and finishes it. `batch` does the same through `vllm run-batch` and batch files. Both then print what the
build counted, against what is in the cache and what the server was asked. It needs the environment of
`python -m tests.environments.vllm --make`. The model has 135 million parameters: its questions are worthless, and
almost all become template questions; what is measured is that nothing is lost, and that nothing is asked twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from polyfact_dataset.common.files import read_json
from polyfact_dataset.llm.cache import CACHE_NAME
from tests.environments.vllm import NAME, run_batch, serving

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
    expected, started = options.facts * 12, time.monotonic()
    command = _command("questions", options, "--base-url", url)
    for part in (1 / 3, 2 / 3):
        _until(subprocess.Popen(command, start_new_session=True), options, int(expected * part))
        print(f"killed at {_answers(options)} answers after {time.monotonic() - started:.0f} s", flush=True)
    subprocess.run(command, check=True)
    return time.monotonic() - started


def _batch(options: argparse.Namespace) -> float:
    started, build = time.monotonic(), options.out / "build"
    base = [sys.executable, "-m", "polyfact_dataset.cli", "questions"]
    while True:
        written = subprocess.run(
            [*base, "export-batches", "--out", build, "--max-requests", "2000"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        files = [Path(line) for line in written.splitlines() if line.endswith(".jsonl")]
        print(f"{len(files)} files after {time.monotonic() - started:.0f} s", flush=True)
        if not files:
            break
        for path in files:
            run_batch(path, path.with_suffix(".output"), options.out / "vllm.log")
            subprocess.run([*base, "import-batches", path.with_suffix(".output"), "--out", build], check=True)
    took_s = time.monotonic() - started
    subprocess.run(_command("questions", options), check=True)
    return took_s


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
    parser.add_argument("mode", choices=("serve", "batch"))
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--url", help="a server that runs already, in place of a new one")
    parser.add_argument("--log", type=Path, help="the log of that server")
    parser.add_argument("--out", type=Path, default=Path("vllm-run"))
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    values = {"facts": options.facts, "tokens": options.tokens, "in_flight": options.in_flight}
    (options.out / "polyfact.toml").write_text(_CONFIG.format(**values), encoding="utf-8")
    subprocess.run(_command("namesakes", options), check=True)
    if options.mode == "batch":
        took_s = _batch(options)
    elif options.url:
        took_s = _serve(options, options.url)
    else:
        with serving(options.out / "vllm.log") as (url, _):
            took_s = _serve(options, url)
    _account(options, took_s)


if __name__ == "__main__":
    main()
