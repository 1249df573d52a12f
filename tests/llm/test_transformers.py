"""The transport against a real server: `transformers serve` with a tiny model made on the spot."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.budget import BudgetTracker
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.client import Client, each
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import Answer, Request
from polyfact_dataset.questions.generation import FactOutcome, QuestionGenerator
from tests.support.llm_facts import fact_input

needed = ("torch", "transformers", "fastapi", "uvicorn")
pytestmark = [
    pytest.mark.transformers,
    pytest.mark.skipif(any(importlib.util.find_spec(name) is None for name in needed), reason="no transformers serve"),
]


def tiny_model(folder: Path) -> None:
    """A Qwen2 of 2 layers with random weights, and a byte-level tokenizer with a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from tests.support.planted_models import SMALL

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>"]
    core = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate([*letters, *special])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        **SMALL,
        vocab_size=len(tokenizer),
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The base URL and the name of the model."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(folder / "model")
    (folder / "home" / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder / "model"), "--host", "127.0.0.1"]
    environment = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [*command, "--port", str(port), "--device", "cpu", "--dtype", "float32"],
        env=environment,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(0.5)
        yield f"{url}/v1", str(folder / "model")
    finally:
        process.terminate()
        process.wait()


def test_a_fact_is_asked_of_a_real_server(server: tuple[str, str], tmp_path: Path) -> None:
    url, model = server
    languages = ("en", "sw", "bn")
    generator = QuestionGenerator(
        load_config(questions__source="model", questions__model=model, languages=languages), {}
    )
    config = LlmConfig(base_url=url, in_flight=4, timeout_s=60)
    asked: list[Request] = []

    async def settle(cache: Cache) -> FactOutcome:
        engine = OpenAIEngine(config, Counter())
        client = Client(cache, engine, config, BudgetTracker(config, Log(quiet=True), lambda: 0))

        async def work(request: Request) -> None:
            asked.append(request)
            answer: Answer = await client.answer(request)
            assert answer.finish in ("stop", "length") and answer.served and answer.prompt_tokens > 100

        try:
            await engine.check()
            while not isinstance(step := generator.advance(fact_input(), cache.get), FactOutcome):
                await each(step, work, config.in_flight)
            return step
        finally:
            await engine.close()

    with Cache(tmp_path / "c.sqlite") as cache:
        outcome = asyncio.run(settle(cache))
        assert len(asked) == 6, "a model of random weights fails, and is asked once more in each language"
        assert outcome.reason is not None and outcome.reason.startswith("model_") and outcome.used == {"question": 6}
        assert cache.usage(model, "").answers == 6
        assert asyncio.run(settle(cache)).reason == outcome.reason and len(asked) == 6
