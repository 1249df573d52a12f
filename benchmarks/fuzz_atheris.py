"""Fuzzing guided by coverage: atheris searches the targets of `tests/support/fuzz_targets.py` for input that crashes.

    pip install "polyfact[fuzz]"        # Python 3.11 to 3.13, Linux
    python -m benchmarks.fuzz_atheris "entity lines" ... [--seconds 180] [--corpus build/fuzz]

The first bit of an input tells what the rest is: a document (the corpus starts with valid ones), or the choices from
which Hypothesis makes a malformed one. Prints a Markdown table: inputs run, edges and features of this project's code
reached, distinct crashes, and peak memory. One input that takes a minute of processor time counts as a crash, as does a
process above 2 GB, which ends the run. Inputs that crash are written next to the corpus's folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_CRASH = "CRASH "
# Processor time, since the process may have to wait for others; libFuzzer measures wall-clock time only.
_HANG_S = 60
_LIMITS = ("-timeout=900", "-rss_limit_mb=2048", "-max_len=100000", "-print_final_stats=1", "-seed=1")
Wrap = Callable[[bytes], Any]


def sound(name: str, folder: Path) -> tuple[list[bytes], Wrap]:
    """Valid documents of a kind as bytes, and the function that makes the target's input of such bytes."""
    from tests.support import fuzz_releases
    from tests.support import fuzz_targets as t

    def packed(*values: Any) -> list[bytes]:
        return [json.dumps(value).encode() for value in values]

    def whole(data: bytes) -> bytes:
        return data

    if name == "release folders":
        release = fuzz_releases._release(folder)
        files = sorted(path for path in release.rglob("*") if path.is_file())
        names = [path.relative_to(release).as_posix() for path in files]
        # The first byte is the file's number.
        seeds = [bytes([number]) + path.read_bytes() for number, path in enumerate(files)]
        return seeds, lambda data: fuzz_releases.Spoilt(names[(data or b"\0")[0] % len(names)], data[1:])
    if name == "API answers":
        return packed(t.API_BODY, t.API_ERROR), lambda data: (200, data, "")
    if name == "model answers":
        seeds = [b"\0" + packed(t.CHAT_BODY)[0], b"\1" + packed(t.RESPONSES_BODY)[0]]
        return seeds, lambda data: ((t.CHAT, t.RESPONSES)[(data or b"\0")[0] % 2], data[1:])
    if name == "score files":
        t._result(folder)
        return [(folder / "r.scores.parquet").read_bytes()], whole
    seeds = {
        "entity lines": lambda: packed(t.ENTITY),
        "TOML configs": lambda: [t.TOML.encode()],
        "result files": lambda: packed(t._result(folder)),
        "KLAR files": lambda: packed(t.KLAR),
        "batch files": lambda: packed(t.BATCH, t.BATCH_ERROR),
    }[name]()
    return seeds, whole


def fuzz(name: str, corpus: Path, seconds: int, folder: Path) -> None:
    """Runs in a separate process, which libFuzzer ends; writes each crash to standard error at once."""
    import atheris
    from hypothesis import HealthCheck, given, settings

    with atheris.instrument_imports(include=["polyfact_dataset", "baselines"]):
        from benchmarks.fuzz import place_of
        from tests.support.fuzz_targets import TARGETS, answered
    target, crashed_at = TARGETS[name], set[str]()
    seeds, wrap = sound(name, folder)

    def hang(*_: object) -> None:
        raise TimeoutError("a hang")

    def read(value: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, _HANG_S)
        try:
            with contextlib.redirect_stdout(io.StringIO()), answered():
                target.read(value, folder)
        except Exception as error:
            if (place := place_of(error)) not in crashed_at:
                crashed_at.add(place)
                (corpus.parent / f"crash-{len(crashed_at)}-{corpus.name}").write_bytes(repr(value).encode())
                print(f"{_CRASH}{place}: {str(error)[:200]!r} of {str(value)[:300]!r}", file=sys.stderr, flush=True)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    signal.signal(signal.SIGPROF, hang)
    spoilt = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))(
        given(target.spoil(folder))(read)
    )

    def one(data: bytes) -> None:
        if data[:1] and data[0] & 1:
            read(wrap(data[1:]))
        else:
            spoilt.hypothesis.fuzz_one_input(data[1:])

    for number, seed in enumerate(seeds):
        (corpus / f"sound-{number}").write_bytes(b"\1" + seed)
        (corpus / f"choices-{number}").write_bytes(b"\0" + bytes(range(256)) * 4)
    limits = (f"-max_total_time={seconds}", f"-artifact_prefix={corpus.parent}/{corpus.name}-")
    atheris.Setup([sys.argv[0], str(corpus), *_LIMITS, *limits], one)
    atheris.Fuzz()


def row(name: str, corpus: Path, seconds: int) -> str:
    """Fuzzes one kind; returns its line of the table."""
    corpus.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "benchmarks.fuzz_atheris",
        name,
        "--corpus",
        str(corpus),
        "--seconds",
        str(seconds),
    ]
    with TemporaryDirectory() as folder:
        process = subprocess.run([*command, "--inside", folder], stderr=subprocess.PIPE, text=True, errors="replace")
    (corpus.parent / f"{corpus.name}.log").write_text(process.stderr, encoding="utf-8")
    crashes = [line for line in process.stderr.splitlines() if line.startswith(_CRASH)]
    if process.returncode:
        crashes.append(f"{_CRASH}the process ended with {process.returncode}: see {corpus.parent / corpus.name}.log")
    print(*crashes, sep="\n", end="\n" if crashes else "", file=sys.stderr, flush=True)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", process.stderr) or [("0", "0")]
    run, memory = (
        int((re.findall(rf"stat::{stat}:\s*(\d+)", process.stderr) or ["0"])[-1])
        for stat in ("number_of_executed_units", "peak_rss_mb")
    )
    edges, features = map(int, reached[-1])
    return f"| {name} | {seconds} | {run:,} | {edges:,} | {features:,} | {len(crashes)} | {memory:,} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="as in benchmarks.fuzz; all of them if left out")
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        fuzz(arguments.kinds[0], arguments.corpus, arguments.seconds, arguments.inside)
        return
    from tests.support.fuzz_targets import TARGETS

    if unknown := set(arguments.kinds) - set(TARGETS):
        parser.error(f"unknown kinds {', '.join(sorted(unknown))}; known are {', '.join(TARGETS)}")
    print(
        "| input | seconds | run | edges | features | crashes | peak MB |\n|---|---:|---:|---:|---:|---:|---:|",
        flush=True,
    )
    for name in arguments.kinds or TARGETS:
        print(row(name, arguments.corpus / name.replace(" ", "-"), arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
