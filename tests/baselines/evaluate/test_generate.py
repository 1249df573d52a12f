"""Greedy generation against one prompt at a time, and the open evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("transformers", reason="needs polyfact[eval]")

from baselines.answer_lines import answer_line  # noqa: E402
from baselines.evaluate import open as open_answers  # noqa: E402
from baselines.evaluate import results  # noqa: E402
from baselines.evaluate.engines import Answer  # noqa: E402
from baselines.evaluate.generate import Generator  # noqa: E402
from baselines.models import Model, load_model  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError  # noqa: E402
from tests.support import baseline_releases as releases  # noqa: E402

PROMPTS = ["Question: Which city?\nAnswer:", "質問：都市は？\n回答：", "A", "Swali: mji gani ni huu?\nJibu:"]


@pytest.fixture(scope="module", params=["qwen2", "olmo2"])
def model(request: pytest.FixtureRequest, tiny: Callable[[str], Path]) -> Model:
    return load_model(str(tiny(request.param)), device="cpu")


def greedy(model: Model, prompt: str, new_tokens: int) -> list[int]:
    """The definition: the most probable token, again and again, with neither padding nor cache."""
    ids = model.tokenizer(prompt)["input_ids"]
    found: list[int] = []
    for _ in range(new_tokens):
        with torch.inference_mode():
            token = int(model.network(torch.tensor([ids + found])).logits[0, -1].argmax())
        if token == model.tokenizer.eos_token_id:
            break
        found.append(token)
    return found


def lines(model: Model, prompts: list[str], new_tokens: int = 8, **options: Any) -> list[str]:
    generator = Generator(model, new_tokens, **options)
    names = [f"prompt {number}" for number in range(len(prompts))]
    ids = generator.encode(prompts, names)
    return [text for _, text in sorted(generator.run(range(len(prompts)), ids, names))]


def test_batches_give_what_single_prompts_give(model: Model) -> None:
    texts = [model.tokenizer.decode(greedy(model, prompt, 8)) for prompt in PROMPTS]
    expected = [answer_line(text.partition("\n")[0]) for text in texts]
    assert lines(model, PROMPTS) == expected and len(set(expected)) > 1
    assert lines(model, PROMPTS, batch_tokens=1) == expected


def test_the_models_own_sampling_is_left_aside(tiny: Callable[[str], Path]) -> None:
    plain, pushed = (load_model(str(tiny("qwen2")), device="cpu") for _ in range(2))
    pushed.network.generation_config.update(repetition_penalty=5.0, do_sample=True, temperature=3.0, max_length=3)
    assert lines(pushed, PROMPTS) == lines(plain, PROMPTS)


def test_generation_ends_with_the_line(tiny: Callable[[str], Path]) -> None:
    model = load_model(str(tiny("qwen2")), device="cpu")
    say = [model.tokenizer(text)["input_ids"][0] for text in (" the", "\n", " end")]
    steps: list[int] = []

    def hook(network: Any, arguments: Any, output: Any) -> Any:
        output.logits[:, -1] = 0
        output.logits[:, -1, say[min(len(steps), 2)]] = 9
        steps.append(1)
        return output

    model.network.register_forward_hook(hook)
    assert lines(model, ["A", "B"], new_tokens=6) == [model.tokenizer.decode(say[:1]).strip()] * 2
    assert len(steps) == 2  # nothing is generated behind the line break


def test_running_out_of_memory_makes_batches_smaller(model: Model) -> None:
    expected = lines(model, PROMPTS)
    generator = Generator(model, 8)
    real, sizes = generator._batch, []

    def limited(prompts: Any) -> list[Answer]:
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        sizes.append(len(prompts))
        return real(prompts)

    generator._batch = limited  # type: ignore[method-assign]
    ids = generator.encode(PROMPTS, PROMPTS)
    assert [text for _, text in sorted(generator.run(range(4), ids, PROMPTS))] == expected and sizes == [1] * 4


def test_a_prompt_that_is_too_long_is_named(model: Model) -> None:
    with pytest.raises(DataError, match="prompt 0: the prompt has .* tokens; the model takes 1 to 2040"):
        lines(model, ["word " * 3000])


# ---------------------------------------------------------------- the evaluator


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    configs = {"clean": {"test": releases.parallel_rows(4)}, "open": {"test": releases.open_rows(4)}}
    return releases.write(tmp_path_factory.mktemp("small"), configs)


def test_open_answers_are_judged(
    small: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        "en question 0": "City of Light",
        "en question 1": "Vienna",
        "en question 2": "Wien",
        "en question 3": "hm",
        "ja question 0": "パリです",
        "ja question 1": "Rome",
    }

    def say(self: Generator, prompts: list[list[int]]) -> list[Answer]:
        texts = self.model.tokenizer.batch_decode(prompts)
        return [Answer(next((answer for key, answer in told.items() if key in text), "")) for text in texts]

    monkeypatch.setattr(Generator, "_batch", say)
    output = tmp_path / "o.json"
    open_answers.main(
        model=str(tiny("qwen2")), output=output, dataset=str(small), config="open", device="cpu", quiet=True
    )
    result = results.load_result(output)
    english, japanese = result.metrics["languages"]["en"], result.metrics["languages"]["ja"]
    assert english == {
        "items": 4,
        "lenient": 0.25,
        "exact": 0.25,
        "folded": 0.25,
        "modes": {"correct": 0.25, "wrong_language": 0.25, "wrong_fact": 0.25, "incoherent": 0.25, "declined": 0.0},
    }
    assert (japanese["lenient"], japanese["exact"]) == (0.25, 0.0)
    assert japanese["modes"]["wrong_language"] == 0.25
    assert result.metrics["groups"]["high"]["lenient"] == pytest.approx((0.25 + 0 + 0.25) / 3)
    assert result.metrics["nouns"]["common"] is None and result.metrics["nouns"]["proper"]["items"] == 12
    assert "contamination" not in result.metrics
    rows = results.load_scores(output, result).to_pylist()
    assert rows[0]["accepted"] == ["Paris", "City of Light"] and rows[0]["prediction"] == "City of Light"


def test_a_release_without_open_questions(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = releases.write(tmp_path, {"clean": {"test": releases.parallel_rows(2)}})
    with pytest.raises(ConfigError, match="has no config 'clean_open'; it has clean, parallel"):
        open_answers.main(model=str(tiny("qwen2")), output=tmp_path / "o.json", dataset=str(folder), quiet=True)
