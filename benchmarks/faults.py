"""Whether builds recover from faults: kills, full disks, damaged files, a failing server, jumps of the clock.

    python -m benchmarks.faults [--kills 200] [--seed 1] [--only kill disk ...] [--folder /tmp/polyfact-faults]

Prints a Markdown table. A fault is survived when the release equals that of an undisturbed build byte for byte, or when
the build stops with one clear message (`polyfact: ...`, no traceback) and the next run makes that release. Data lost
counts the files that differ at the end, and the answers of a model that were paid twice. The builds are of the bundled
sample, with one worker; the model is simulated by `tests/support/llm_server.py`. As root on Linux, full and read-only
disks are tmpfs mounts; otherwise they are simulated by a limit on the size of files and by read-only folders.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from benchmarks import power_cuts
from benchmarks.disturbed import (
    Bench,
    Outcomes,
    ask,
    begin,
    can_mount,
    contents,
    damage,
    differing,
    is_clear,
    judge,
    read_only,
    reason_of,
    say,
    tmpfs,
    twice,
    unlike,
)
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.pipeline.stages import QUESTIONS, STAGES, stage_folder
from polyfact_dataset.wikidata.cache import Cache as WikidataCache
from tests.support.llm_server import Scripted, no_fault, serve

CONFIG = 'facts = {facts}\nrelations = ["P19", "P36", "P50", "P178"]\n[llm]\nfirst_wait_s = 0.05\nmax_unanswered = 3\n'
# Runs the command with a clock that jumps by years, back and forth, at each reading.
JUMPING = """
import random, sys, time
true, rng = time.time, random.Random({seed})
time.time = lambda: max(true() + rng.choice((-1, 1)) * rng.uniform(0, 20 * 365.25 * 86_400), 0.0)
from polyfact_dataset.cli import main
main()
"""


def kill(bench: Bench, out: Path, verb: str, stage: str | None) -> str | None:
    """Kills a build and returns the stage in which it was killed; None if the build ended before.

    With a `stage`, at a random moment of it or of the next unfinished one; otherwise at a change of the files.
    """
    names = [s.name for s in STAGES]
    starts = {f"{s.name}: {s.doc}\n": s.name for s in STAGES[names.index(stage) if stage else 0 :]}
    pid, output = begin(bench, out, verb, 0 if stage else int(10 ** bench.rng.uniform(0.0, 3.3)))
    with output:
        begun = None
        if stage:
            begun = next((starts[line] for line in output if line in starts), None)
            time.sleep(bench.rng.uniform(0.0, 0.8 * bench.timings[begun]) if begun else 0)
            os.kill(pid, signal.SIGKILL)
        rest = output.readlines()
    begun = next((starts[line] for line in reversed(rest) if line in starts), begun)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, -signal.SIGKILL):
        say(f"  NOT KILLED ({code}): {''.join(rest)[-1500:]}")
    return (begun or "start") if code == -signal.SIGKILL else None


def kills(bench: Bench) -> Outcomes:
    """SIGKILL over all stages, in turns at a random moment and just before a change of the file system.

    Two builds are whole ones; the others end before the audit, which takes longer than all before it.
    """
    outcomes, pending, turn = Outcomes(), 0, 0
    out = bench.new("kill")
    for stage in STAGES:
        stage.load()
    while outcomes.tried + pending < bench.kills:
        verb = "build" if turn < 2 else "export"
        # Two kills in every stage, in the order of the stages; or kills at changes until it is done.
        plan = [stage.name for stage in STAGES for _ in range(2)] if turn % 2 == 0 else repeat(None)
        for stage in plan:
            hit = kill(bench, out, verb, stage)
            if hit is None:
                break
            pending += 1
            outcomes.notes[hit] += 1
        lost = bench.ends_right(out, verb)
        outcomes.tried, outcomes.lost = outcomes.tried + pending, outcomes.lost + lost
        outcomes.survived += 0 if lost else pending
        say(f"kill: {outcomes.tried} kills, {outcomes.lost} files lost, {dict(outcomes.notes)}")
        pending, turn = 0, turn + 1
        out = bench.new("kill")
    return outcomes


def disk_full(bench: Bench) -> Outcomes:
    """A disk that is too small, then large enough; and a limit on the size of a file, then none."""
    outcomes = Outcomes()
    for size_kb in (8, 128, 512, 900, 1400, 2000, 3200, 4000) if can_mount() else ():
        with tmpfs(bench.folder / "disk", size_kb) as remount:
            out, verb = bench.folder / "disk" / "build", "build" if size_kb >= 2600 else "export"
            result = bench.run(out, verb=verb)
            remount("size=100m")
            say(f"tmpfs of {size_kb} kB: {result.returncode}")
            judge(bench, outcomes, out, result, verb)
    for limit_bytes in (1, 1_000, 20_000, 100_000):
        out = bench.new("limited")
        judge(bench, outcomes, out, bench.run(out, limit_bytes=limit_bytes))
    return outcomes


def read_only_folders(bench: Bench) -> Outcomes:
    """A build folder, one of its folders, or that above it is read-only; later it is not."""
    outcomes = Outcomes()
    for stage, part in (
        *(("", ""), ("extract", ""), ("extract", "stages"), ("sample", "stages"), ("export", "release")),
        *(("build", "release"), ("build", ""), ("", "..")),
    ):
        out = bench.new("locked/build")
        out.mkdir(parents=True)
        if stage:
            begun = bench.run(out, verb=stage)
            assert begun.returncode == 0, begun.stderr
        if part == "..":
            out.rmdir()
        verb = "build" if stage == "build" else "export"
        with read_only((out / part).resolve()):
            result = bench.run(out, verb=verb)
        judge(bench, outcomes, out, result, verb)
    return outcomes


def two_at_once(bench: Bench) -> Outcomes:
    """Three builds into one folder at once: one runs, the others end with a message."""
    outcomes = Outcomes()
    for _ in range(4):
        out = bench.new("shared")
        running = []
        for _ in range(3):
            running.append(subprocess.Popen(bench.command(out, "--quiet"), stderr=subprocess.PIPE, text=True))
            time.sleep(bench.rng.choice((0.0, 0.2, 1.5)))
        errors = [process.communicate()[1] for process in running]
        through = sum(process.returncode == 0 for process in running)
        refused = sum("another build is running" in text for text in errors)
        outcomes.note(through >= 1 and through + refused == 3, bench.ends_right(out), f"{refused} told to wait")
    return outcomes


def clock_jumps(bench: Bench) -> Outcomes:
    """A clock that jumps by up to 20 years at each reading, in builds of templates and of a model."""
    outcomes = Outcomes()
    for seed in range(3):
        out = bench.new("clock")
        judge(bench, outcomes, out, bench.run(out, code=JUMPING.format(seed=seed)))
    for seed in range(2):
        out = bench.new("clock")
        with serve(Scripted()) as server:
            result = ask(bench, out, server, code=JUMPING.format(seed=seed))
        outcomes.note(reason_of(result) == "went through", unlike(bench, out) + twice(server), "went through")
    return outcomes


def tables(bench: Bench) -> Outcomes:
    """Files of a finished build are damaged, one or three at a time: tables, reports, manifest and durations."""
    outcomes, out = Outcomes(), bench.new("damaged")
    bench.run(out)
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    for number in range(10):
        chosen = bench.rng.sample(files, 1 + 2 * (number % 2))
        if number in (3, 7):
            chosen = [Path(("manifest.json", "timings.json")[number == 7])]
        for path in chosen:
            say(f"damaged: {damage(out / path, bench.rng)} {path}")
        result = bench.run(out)
        if result.returncode and "--overwrite" in result.stderr:
            is_clear(result)
            result = bench.run(out, "--overwrite")
        judge(bench, outcomes, out, result)
        if differing(contents(out), bench.expected["export"]):
            bench.run(bench.new("damaged"))
    return outcomes


def model_cache(bench: Bench) -> Outcomes:
    """The cache of a model's answers is damaged before they are used; then it is removed, as the message advises."""
    outcomes, store = Outcomes(), "model-cache.sqlite"
    with serve(Scripted()) as server:
        for _ in range(8):
            out = bench.new("cache")
            shutil.copytree(bench.asked, out)
            shutil.rmtree(stage_folder(out, QUESTIONS))
            kind = damage(out / store, bench.rng)
            result = ask(bench, out, server)
            outcome = reason_of(result)
            if result.returncode:
                for path in out.glob(f"{store}*"):
                    path.unlink()
                result = ask(bench, out, server)
            say(f"model cache: {kind}: {outcome}, then {result.returncode}")
            outcomes.note(outcome != "CRASH", unlike(bench, out) + (result.returncode != 0), outcome)
    return outcomes


def wikidata_cache(bench: Bench) -> Outcomes:
    """The cache of Wikidata's answers is damaged: an answer is what it was, or unknown, or the file is named."""
    outcomes, path = Outcomes(), bench.folder / "wikidata-cache.sqlite"
    answers: dict[str, bytes | None] = {f"Q{n}": f"entity {n} ".encode() * 30 if n % 9 else None for n in range(1, 301)}
    for _ in range(100):
        path.unlink(missing_ok=True)
        with WikidataCache(path) as cache:
            cache.write(answers.items(), "scope")
        damage(path, bench.rng)
        wrong, outcome = 0, "went through"
        try:
            with WikidataCache(path) as cache:
                wrong = sum(answers[qid] != entity for qid, entity in cache.read(list(answers), "scope"))
        except DataError:
            outcome = "clear error"
        outcomes.note(True, wrong, outcome)
    return outcomes


def flipped_answers(bench: Bench) -> Outcomes:
    """One bit of a stored answer flips, where SQLite has no checksum: the answer must not be taken for another."""
    outcomes = Outcomes()
    with serve(Scripted()) as server:
        for _ in range(4):
            out = bench.new("cache")
            shutil.copytree(bench.asked, out)
            shutil.rmtree(stage_folder(out, QUESTIONS))
            with sqlite3.connect(out / "model-cache.sqlite") as connection:
                rows = connection.execute("SELECT key, body FROM answers ORDER BY key").fetchall()
                for key, body in bench.rng.sample(rows, len(rows) // 4):
                    at = body.index("question") + 30
                    changed = body[:at] + chr(ord(body[at]) ^ 1) + body[at + 1 :]
                    connection.execute("UPDATE answers SET body = ? WHERE key = ?", (changed, key))
            connection.close()
            result = ask(bench, out, server)
            outcome = reason_of(result)
            if result.returncode:
                (out / "model-cache.sqlite").unlink()
                result = ask(bench, out, server)
            outcomes.note(outcome != "CRASH", unlike(bench, out) + (result.returncode != 0), outcome)
    return outcomes


def _serve_until(script: Scripted, port: int, at: int, soon: bool, ended: threading.Event) -> None:
    """Serves `at` answers, then drops all connections; serves again a second later if `soon`."""
    with serve(script, port):
        while script.answered.total() < at and not ended.wait(0.01):
            pass
        script.fault = lambda body, tries: "cut"
    if soon and not ended.wait(1.0):
        script.fault = no_fault
        with serve(script, port):
            ended.wait()


def server_dies(bench: Bench) -> Outcomes:
    """A model's server fails between answers, and returns soon or only for the next run."""
    outcomes = Outcomes()
    for number in range(4):
        out, script, ended = bench.new("server"), Scripted(delay_s=0.02), threading.Event()
        with serve(script):
            port = int(script.url.rpartition(":")[2].partition("/")[0])
        thread = threading.Thread(target=_serve_until, args=(script, port, 10 + 25 * number, number % 2 == 0, ended))
        thread.start()
        time.sleep(0.2)
        result = ask(bench, out, script)
        ended.set()
        thread.join()
        outcome = reason_of(result)
        if result.returncode:
            script.fault = no_fault
            with serve(script, port):
                result = ask(bench, out, script)
        outcomes.note(outcome != "CRASH", unlike(bench, out) + twice(script) + (result.returncode != 0), outcome)
    return outcomes


FAULTS: dict[str, tuple[str, Callable[[Bench], Outcomes]]] = {
    "kill": ("SIGKILL in any stage", kills),
    "disk": ("full disk", disk_full),
    "locked": ("read-only folders", read_only_folders),
    "shared": ("three builds at once into one folder", two_at_once),
    "clock": ("clock that jumps", clock_jumps),
    "tables": ("damaged files of a build", tables),
    "cache": ("damaged cache of model answers", model_cache),
    "wikidata": ("damaged cache of Wikidata's answers", wikidata_cache),
    "flips": ("changed answers in the cache", flipped_answers),
    "server": ("server that dies and comes back", server_dies),
    "power": ("power cut in a build", power_cuts.build),
    "power-train": ("power cut in a training run", power_cuts.training),
}


def prepare(folder: Path, rng: random.Random, kills: int, audited: bool) -> Bench:
    """The undisturbed builds: up to the export, and, with `audited`, a whole one and questions of a model."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "polyfact.toml").write_text(CONFIG.format(facts=200))
    (folder / "model.toml").write_text(CONFIG.format(facts=12) + "deadline_s = 10\nin_flight = 8\n")
    bench = Bench(folder, rng, kills, {}, {}, folder / "asked")
    whole = folder / "whole"
    result = bench.run(whole, verb="export")
    assert result.returncode == 0, result.stderr
    expected = {"export": contents(whole)}
    if not audited:
        return Bench(folder, rng, kills, expected, {}, folder / "asked")
    result = bench.run(whole, verb="build")
    assert result.returncode == 0, result.stderr
    expected["build"] = contents(whole)
    with serve(Scripted()) as server:
        # On a busy machine the short deadline may pass; the next run then continues.
        result = next((r for r in (ask(bench, bench.asked, server) for _ in range(5)) if not r.returncode), result)
    assert (stage_folder(bench.asked, QUESTIONS)).is_dir()
    assert result.returncode == 0, result.stderr
    return Bench(folder, rng, kills, expected, read_json(whole / "timings.json"), bench.asked)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills, and power cuts of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/polyfact-faults"))
    arguments = parser.parse_args()
    audited = not {"power", "power-train"}.issuperset(arguments.only)
    bench = prepare(arguments.folder, random.Random(arguments.seed), arguments.kills, audited)
    print("| fault | tried | survived | data lost | how |\n|---|---:|---:|---:|---|", flush=True)
    for name in arguments.only:
        title, work = FAULTS[name]
        started = time.monotonic()
        outcomes = work(bench)
        how = ", ".join(f"{text} {number}" for text, number in outcomes.notes.most_common())
        print(f"| {title} | {outcomes.tried} | {outcomes.survived} | {outcomes.lost} | {how} |", flush=True)
        say(f"{name}: {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
