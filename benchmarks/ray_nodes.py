"""Batch files answered on a local Ray cluster of two nodes, one of which is killed: `python -m benchmarks.ray_nodes`.

A scripted server answers after a pause. When a third is answered, the second node is lost at once (SIGKILL to its
raylet and its workers). datatrove submits its tasks again on the node that is left, where they continue from their
checkpoints. Prints what was answered, and what was asked again. Needs the extra `cluster`.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from polyfact_dataset.common.errors import RetryableError
from polyfact_dataset.llm.batch import Shards, read_answers
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.cluster import ClusterConfig, ClusterRun
from polyfact_dataset.llm.protocol import Request
from tests.support.llm_server import MODEL, Scripted, serve

RECORD = '{"language": "German (Deutsch)", "subject": "Peru", "relation": "capital", "answer": "Lima"}'


def _kill_when(server: Scripted, answers: int, kill: threading.Event, cluster: object, node: object) -> None:
    while server.answered.total() < answers:
        time.sleep(0.1)
    cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]
    print(f"node killed at {server.answered.total()} answers", flush=True)
    kill.set()


def measure(requests: int, tasks: int, in_flight: int, delay_s: float, folder: Path) -> None:
    """One run in a folder."""
    import ray
    from ray.cluster_utils import Cluster

    per_node = tasks // 2
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": per_node})
    second = cluster.add_node(num_cpus=per_node)
    ray.init(address=cluster.address, log_to_driver=False)
    killed = threading.Event()
    try:
        with Cache(folder / "cache.sqlite") as cache, serve(Scripted(delay_s=delay_s)) as server:
            shards = Shards(folder / "requests", cache, max_requests=1000, max_bytes=10_000_000)
            for number in range(requests):
                body = {"model": MODEL, "messages": [{"role": "user", "content": RECORD}], "top_k": number}
                shards.add(Request("question", body))
            run = ClusterRun.begin(folder / "run" / "001", shards.close(), tasks)
            arguments = (server, requests // 3, killed, cluster, second)
            threading.Thread(target=_kill_when, args=arguments, daemon=True).start()
            endpoint = {"server_type": "endpoint", "endpoint_url": server.url.removesuffix("/v1")}
            config = ClusterConfig(
                inference={**endpoint, "model_name_or_path": MODEL, "max_concurrent_generations": in_flight},
                executor={"mem_per_cpu_gb": 0.1},
            )
            started = time.monotonic()
            for _ in range(3):
                try:
                    run.execute("ray", config)
                    break
                except RetryableError as error:
                    print(f"rerun: {error}", flush=True)
            took_s = time.monotonic() - started
            counts = read_answers(run.answers, cache).counts
            again = server.answered.total() - len(server.answered)
            print(f"{requests} requests, {tasks} tasks of {in_flight} in flight, 2 nodes, {took_s:.0f} s")
            print(f"imported {dict(counts)}; answered by the server {server.answered.total()}, asked again {again}")
            if not killed.is_set() or counts["answered"] != requests or again > tasks * in_flight:
                raise SystemExit("not every request was answered, or more than those in flight were asked again")
    finally:
        ray.shutdown()
        cluster.shutdown()


def main() -> None:
    """Runs once in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=240)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--delay", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options.requests, options.tasks, options.in_flight, options.delay, Path(folder))


if __name__ == "__main__":
    main()
