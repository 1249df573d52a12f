"""The client's requests per second, processor time and memory: `python -m benchmarks.llm_load`.

A server in a separate process answers every request after a fixed delay, with no other work. The client sends it
requests for questions as a build does, through cache, claims, budget and engine. The last row uses bare sockets: the
limit of the server. Processor time is that of the client's process, and its reciprocal the rate of one core: on a
machine with other work it says more than requests per second. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.budget import BudgetTracker
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.client import Client, each
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.questions.generation import FactInput, QuestionGenerator

MODEL = "load"
_SELF = [sys.executable, "-m", "benchmarks.llm_load"]
REQUESTS = 4000


async def _serve(delay_s: float) -> None:
    content = json.dumps({"question": "Which is the capital of the country called X?", "answer_text": "Y" * 30})
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": 420, "completion_tokens": 45}
    answer = {"model": MODEL, "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    bodies = {b"POST": json.dumps(answer).encode(), b"GET ": json.dumps({"data": [{"id": MODEL}]}).encode()}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if length:
                await reader.readexactly(int(length[0].partition(b":")[2]))
                await asyncio.sleep(delay_s)
            body = bodies[head[:4]]
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _requests(config: Config) -> Iterator[Request]:
    generator = QuestionGenerator(config, {})
    for number in range(REQUESTS // len(PAPER_LANGUAGES) + 1):
        names = dict.fromkeys(PAPER_LANGUAGES, f"Subject {number}")
        answers = dict.fromkeys(PAPER_LANGUAGES, f"Answer {number}")
        fact = FactInput(f"Q{number}|P36|Q1", f"Q{number}", "P36", "Q1", number, None, names, answers)
        missing = generator.advance(fact, lambda request: None)
        assert isinstance(missing, list)
        yield from missing


async def _ask(port: int, in_flight: int, folder: Path) -> tuple[float, float]:
    config = load_config(questions__source="model", questions__model=MODEL)
    llm = LlmConfig(base_url=f"http://127.0.0.1:{port}/v1", in_flight=in_flight)
    requests = list(_requests(config))[:REQUESTS]
    with Cache(folder / "cache.sqlite") as cache:
        engine = OpenAIEngine(llm, Counter())
        client = Client(cache, engine, llm, BudgetTracker(llm, Log(quiet=True), lambda: REQUESTS))

        async def work(request: Request) -> None:
            await client.answer(request)

        started, started_cpu = time.perf_counter(), time.process_time()
        await each(requests, work, in_flight)
        took = time.perf_counter() - started, time.process_time() - started_cpu
        client.close()
        await engine.close()
        assert cache.usage(MODEL, "").answers == REQUESTS
    return took


async def _bare(port: int, in_flight: int) -> tuple[float, float]:
    body = b"x" * 2500
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    left = iter(range(REQUESTS))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rpartition(b"Content-Length:")[2]))
        writer.close()

    started, started_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.perf_counter() - started, time.process_time() - started_cpu


def measure(how: str, delay_s: float, in_flight: int) -> None:
    """One run against a fresh server, in this process; prints seconds, processor seconds and peak megabytes as JSON."""
    server = subprocess.Popen([*_SELF, "serve", "--delay", str(delay_s)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    try:
        with tempfile.TemporaryDirectory() as folder:
            took = asyncio.run(_ask(port, in_flight, Path(folder)) if how == "client" else _bare(port, in_flight))
    finally:
        server.kill()
        server.wait()
    print(json.dumps([*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main() -> None:
    """Prints the table; `serve` and `measure` are run as subprocesses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", nargs="?", default="table", choices=("table", "serve", "client", "bare"))
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    if options.mode == "serve":
        asyncio.run(_serve(options.delay))
    elif options.mode != "table":
        measure(options.mode, options.delay, options.in_flight)
    else:
        print(
            "| server answers after | in flight | server's limit | requests/s | share | CPU ms | per core | peak MB |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for how, delay_s, in_flight in (
            ("client", 1.0, 256),
            ("client", 0.2, 64),
            ("client", 0.2, 512),
            ("client", 0.0, 64),
            ("client", 0.0, 256),
            ("bare", 0.0, 64),
        ):
            arguments = [how, "--delay", str(delay_s), "--in-flight", str(in_flight)]
            run = subprocess.run([*_SELF, *arguments], capture_output=True, text=True, check=True)
            took_s, cpu_s, peak_mb = json.loads(run.stdout)
            rate, limit = REQUESTS / took_s, in_flight / delay_s if delay_s else None
            allowed = f"{limit:,.0f}/s" if limit else "as fast as it can"
            share = f"{100 * rate / limit:.0f} %" if limit else "–"
            who = f"{delay_s:g} s" + (" (bare sockets)" if how == "bare" else "")
            cpu = f"{1000 * cpu_s / REQUESTS:.2f} | {REQUESTS / cpu_s:,.0f}/s"
            print(f"| {who} | {in_flight} | {allowed} | {rate:,.0f} | {share} | {cpu} | {peak_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
