"""Disturbed builds: running them, judging them, and the disks, files and servers that disturb them (`faults.py`)."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from polyfact_dataset.cli.app import run as run_command
from polyfact_dataset.common.files import digest
from polyfact_dataset.pipeline.stages import QUESTIONS, stage_folder
from tests.support.llm_server import MODEL, Scripted


def contents(out: Path) -> dict[str, str]:
    """Digest of every file of a build but the durations, the lock and the caches."""
    ignored = ("timings.json", ".lock", "wikidata-cache.sqlite")
    return {
        path.relative_to(out).as_posix(): digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ignored and not path.name.startswith("model-cache.sqlite")
    }


def differing(actual: dict[str, str], expected: dict[str, str]) -> list[str]:
    """The files that are missing, left over or different."""
    return sorted(name for name in actual.keys() | expected.keys() if actual.get(name) != expected.get(name))


@dataclass
class Outcomes:
    """Counts of one kind of fault: tried, survived, and files or answers lost."""

    tried: int = 0
    survived: int = 0
    lost: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    def note(self, survived: bool, lost: int, how: str) -> None:
        self.tried += 1
        self.survived += survived and not lost
        self.lost += lost
        self.notes[how] += 1


@dataclass(frozen=True)
class Bench:
    """Where the builds are, and the undisturbed ones: of templates, and of a model up to its questions."""

    folder: Path
    rng: random.Random
    kills: int
    expected: dict[str, dict[str, str]]
    timings: dict[str, float]
    asked: Path

    def new(self, name: str) -> Path:
        """An absent folder."""
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        return out

    def command(self, out: Path, *options: object, code: str = "", verb: str = "export") -> list[str]:
        start = ["-c", code] if code else ["-m", "polyfact_dataset.cli"]
        config = self.folder / ("model.toml" if "model" in options else "polyfact.toml")
        end = ["--config", str(config), "--out", str(out), "--workers", "1", *map(str, options)]
        return [sys.executable, "-u", *start, verb, *end]

    def run(self, out: Path, *options: object, limit_bytes: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        command = self.command(out, *options, "--quiet", **more)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=600, preexec_fn=limited if limit_bytes else None
        )

    def ends_right(self, out: Path, verb: str = "export") -> int:
        """Runs the build once more; the number of files that are not as they should be."""
        result = self.run(out, verb=verb)
        wrong = differing(contents(out), self.expected[verb]) if result.returncode == 0 else [result.stderr[-300:]]
        for name in wrong[:5]:
            say(f"  WRONG {out.name}: {name}")
        return len(wrong)


_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def die_at_change(left: int) -> None:
    """Lets this process kill itself just before the n-th change of the file system from now on."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if opens or event in _CHANGES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def begin(bench: Bench, out: Path, verb: str, changes: int = 0) -> tuple[int, TextIO]:
    """Starts a build in a fork of this process, which has everything imported; returns its id and its standard error.

    With `changes` it kills itself just before that many changes of the file system.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, os.fdopen(reading)
    code = 3
    try:
        os.setsid()
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["polyfact", *bench.command(out, verb=verb)[4:]]
        if changes:
            die_at_change(changes)
        code = run_command()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 3
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def is_clear(result: subprocess.CompletedProcess[str]) -> bool:
    """Whether a failed run says in one message what is wrong."""
    clear = result.returncode in (1, 2) and "Traceback" not in result.stderr and "polyfact: " in result.stderr
    if not clear:
        say(f"  NOT CLEAR ({result.returncode}): {result.stderr[-1500:]}")
    return clear


def reason_of(result: subprocess.CompletedProcess[str]) -> str:
    """The outcome of a run, in a few words for the log."""
    if result.returncode == 0:
        return "went through"
    say("  " + result.stderr.strip()[-230:].replace("\n", " "))
    return "clear error" if is_clear(result) else "CRASH"


def judge(
    bench: Bench, outcomes: Outcomes, out: Path, result: subprocess.CompletedProcess[str], verb: str = "export"
) -> None:
    """Judges a disturbed run and the next one."""
    outcome = reason_of(result)
    outcomes.note(outcome != "CRASH", bench.ends_right(out, verb), outcome)


def can_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None and sys.platform == "linux"


@contextmanager
def tmpfs(path: Path, size_kb: int) -> Iterator[Callable[..., None]]:
    """A separate disk; yields a function that mounts it again with other options."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(path)], check=True)
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def read_only(out: Path) -> Iterator[None]:
    """The folder, and all in it, cannot be written."""
    if can_mount():
        subprocess.run(["mount", "--bind", str(out), str(out)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(out)], check=True)
    else:
        for path in (out, *out.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield
    finally:
        if can_mount():
            subprocess.run(["umount", "--lazy", str(out)], check=True)
        else:
            for path in (out, *out.rglob("*")):
                path.chmod(path.stat().st_mode | 0o200)


def damage(path: Path, rng: random.Random) -> str:
    """Damages a file in one of several ways, and returns which."""
    data = bytearray(path.read_bytes())
    kind = rng.choice(("bit", "bytes", "cut", "zeros", "empty", "gone"))
    if kind == "gone":
        path.unlink()
        return kind
    offset = rng.randrange(max(len(data), 1))
    if kind == "bit" and data:
        data[offset] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        data[offset : offset + 64] = rng.randbytes(len(data[offset : offset + 64]))
    elif kind == "cut":
        del data[offset:]
    elif kind == "zeros":
        data[offset : offset + 4096] = bytes(len(data[offset : offset + 4096]))
    else:
        data = bytearray()
    path.write_bytes(data)
    return kind


def ask(bench: Bench, out: Path, server: Scripted | None, code: str = "") -> subprocess.CompletedProcess[str]:
    """Builds up to a model's questions."""
    live = ("--base-url", server.url) if server else ()
    return bench.run(out, "--questions", "model", "--model", MODEL, *live, code=code, verb="questions")


def unlike(bench: Bench, out: Path) -> int:
    """The number of files of stage `questions` that are not as they should be."""
    here = stage_folder(out, QUESTIONS)
    return len(differing(contents(here), contents(stage_folder(bench.asked, QUESTIONS))))


def twice(server: Scripted) -> int:
    """Answers that were paid more than once."""
    return sum(number - 1 for number in server.answered.values())
