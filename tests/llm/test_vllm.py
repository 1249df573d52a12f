"""Real vLLM: guided JSON over HTTP, and `run-batch`. Needs `python -m tests.environments.vllm --make`."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from polyfact_dataset.config.build import load_config
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.batch import Shards, read_answers
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.questions.generation import QuestionGenerator
from tests.environments.vllm import NAME, available, run_batch, serving
from tests.support.llm_facts import fact_input

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not available(), reason="no environment: python -m tests.environments.vllm --make"),
]


def requests() -> list[Request]:
    """The first requests of a fact in three languages."""
    config = load_config(
        questions__source="model",
        questions__model=NAME,
        questions__parameters={"temperature": 0.0, "max_tokens": 64},
        llm__seed=False,
        languages=("en", "de", "sw"),
    )
    step = QuestionGenerator(config, {}).advance(fact_input(), lambda request: None)
    assert isinstance(step, list) and len(step) == 3
    return step


def test_guided_questions_come_back_as_the_schema_demands(tmp_path: Path) -> None:
    with serving(tmp_path / "vllm.log") as (url, _):

        async def main() -> list[str]:
            engine = OpenAIEngine(LlmConfig(base_url=url, timeout_s=600), Counter())
            try:
                await engine.check()
                answers = [await engine.ask(request) for request in requests()]
            finally:
                await engine.close()
            assert all(answer.prompt_tokens > 100 and answer.served.startswith(NAME) for answer in answers)
            return [answer.text for answer in answers if answer.finish == "stop"]

        for text in asyncio.run(main()):
            assert set(json.loads(text)) == {"question", "answer_text"}


def test_run_batch_answers_our_files(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        shards = Shards(tmp_path / "requests", cache, max_requests=2000, max_bytes=10_000_000)
        for request in requests():
            shards.add(request)
        (path,) = shards.close()
        run_batch(path, tmp_path / "out.jsonl", tmp_path / "vllm.log")
        assert read_answers([tmp_path / "out.jsonl"], cache).counts == {"answered": 3}
        assert all(cache.get(request).served.startswith(NAME) for request in requests())
