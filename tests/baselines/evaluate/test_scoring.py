"""Log-likelihoods against lm-evaluation-harness and against plain sequences, whatever the tokenizer and the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("transformers", reason="needs polyfact[eval]")

from baselines.data import load  # noqa: E402
from baselines.evaluate import scoring  # noqa: E402
from baselines.evaluate.engines import Request  # noqa: E402
from baselines.evaluate.mcq import requests_of  # noqa: E402
from baselines.evaluate.scoring import Path, Scorer, encode, pack, trie  # noqa: E402
from baselines.models import Model, load_model  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError  # noqa: E402

FAMILIES = ("qwen2", "olmo2")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tiny: Callable[[str], File]) -> Model:
    return load_model(str(tiny(request.param)), device="cpu")


@pytest.fixture(scope="module")
def qwen(tiny: Callable[[str], File]) -> Model:
    return load_model(str(tiny("qwen2")), device="cpu")


@pytest.fixture(scope="module")
def requests(release: File) -> dict[str, list[Request]]:
    facts = load(release, "clean", "test").sample(4)
    return {style: requests_of(facts, style) for style in ("paper", "plain", "letters")}  # type: ignore[arg-type]


def scores(model: Model, requests: list[Request], sharing: str = "packed", **options: Any) -> list[list[float]]:
    """The log-probabilities of each request, in order."""
    encoding = encode(model.tokenizer, requests, model.max_tokens, options.pop("boundary", "lm_eval"))
    scorer = Scorer(model, sharing, **options)  # type: ignore[arg-type]
    found: list[list[float]] = [[0.0] * len(request.continuations) for request in requests]
    for one in scorer.score(scorer.rows(encoding.paths), [request.name for request in requests]):
        found[one.path.index][one.path.number] = one.logprob
    return found


def alone(model: Model, path: Path) -> float:
    """The definition: one sequence, no padding, a log-softmax over the vocabulary at every position."""
    with torch.inference_mode():
        logits = model.network(torch.tensor(path.tokens[None].astype("int64"))).logits[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, path.tokens[place]]) for place in range(path.start, len(path.tokens)))


def harness(model: Model, requests: list[Request], **options: Any) -> list[list[float]]:
    """What lm-evaluation-harness gives."""
    pytest.importorskip("lm_eval", reason="needs polyfact[eval]")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=16, **options)
    pairs = [(request.prompt, text) for request in requests for text in request.continuations]
    instances = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    values = iter(value for value, _ in lm.loglikelihood(instances, disable_tqdm=True))
    return [[next(values) for _ in request.continuations] for request in requests]


@pytest.mark.parametrize("style", ["paper", "plain", "letters"])
def test_log_likelihoods_are_lm_evals(model: Model, requests: dict[str, list[Request]], style: str) -> None:
    asked = requests[style]
    found, expected = scores(model, asked), harness(model, asked)
    assert sum(found, []) == pytest.approx(sum(expected, []), abs=1e-4)
    spread = [max(values) - min(values) for values in expected]
    assert min(spread) > 1e-2  # the options do differ: equal numbers are no accident


def test_the_requests_hold_the_quirks_of_both_tokenizers(model: Model, requests: dict[str, list[Request]]) -> None:
    for style, merges in (("paper", True), ("plain", False)):
        encoding = encode(model.tokenizer, requests[style], model.max_tokens)
        assert (encoding.merged > 0) == merges
        merged = [request.name[-2:] for request in requests[style] if _merges(model, request)]
        assert set(merged) <= {"ja", "zh"}
    # A space before CJK is a token of its own or part of the option's first one; either way it is scored.
    spaced = next(request for request in requests["plain"] if request.name.endswith("ja"))
    paths = encode(model.tokenizer, [spaced], model.max_tokens).paths
    assert [model.tokenizer.decode(path.tokens[path.start :]) for path in paths] == list(spaced.continuations)
    rows = pack(encode(model.tokenizer, requests["plain"], model.max_tokens).paths)
    assert len({row.length for row in rows}) > 5  # a batch of them needs padding


def _merges(model: Model, request: Request) -> bool:
    prompt = model.tokenizer(request.prompt)["input_ids"]
    wholes = [model.tokenizer(request.prompt + text)["input_ids"] for text in request.continuations]
    return any(whole[: len(prompt)] != prompt for whole in wholes)


@pytest.mark.parametrize("sharing", ["packed", "separate"])
def test_log_likelihoods_are_those_of_plain_sequences(
    model: Model, requests: dict[str, list[Request]], sharing: str
) -> None:
    asked = requests["paper"][::3]
    expected = [alone(model, path) for path in encode(model.tokenizer, asked, model.max_tokens).paths]
    assert sum(scores(model, asked, sharing), []) == pytest.approx(expected, abs=1e-4)


def test_the_batch_does_not_matter(qwen: Model, requests: dict[str, list[Request]]) -> None:
    asked = requests["plain"]
    large, single = scores(qwen, asked, batch_tokens=100_000), scores(qwen, asked, batch_tokens=1)
    assert sum(large, []) == pytest.approx(sum(single, []), abs=1e-4)


def test_a_tokenizer_that_adds_a_first_token(tiny: Callable[[str], File], requests: dict[str, list[Request]]) -> None:
    from tokenizers.processors import TemplateProcessing

    model = load_model(str(tiny("olmo2")), device="cpu")
    end = model.tokenizer.eos_token
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{end} $A", special_tokens=[(end, model.tokenizer.eos_token_id)]
    )
    asked = requests["paper"][:12]
    assert encode(model.tokenizer, asked, model.max_tokens).paths[0].tokens[0] == model.tokenizer.eos_token_id
    assert sum(scores(model, asked), []) == pytest.approx(sum(harness(model, asked), []), abs=1e-4)


def test_a_trailing_space_of_the_prompt_is_scored_with_the_answer(qwen: Model) -> None:
    asked = [Request("one", "Question: ? Answer: ", ("Paris", "Rome"))]
    moved = [Request("one", "Question: ? Answer:", (" Paris", " Rome"))]
    assert scores(qwen, asked) == scores(qwen, moved)
    assert scores(qwen, asked)[0] == pytest.approx(harness(qwen, asked)[0], abs=1e-4)


def test_exact_boundaries_score_merged_options_whole(qwen: Model, requests: dict[str, list[Request]]) -> None:
    merged = [request for request in requests["paper"] if _merges(qwen, request)]
    plain = [request for request in requests["paper"] if not _merges(qwen, request)]
    assert merged and plain
    for request, found in zip(merged, scores(qwen, merged, boundary="exact")):
        wholes = [qwen.tokenizer(request.prompt + text)["input_ids"] for text in request.continuations]
        prompt = qwen.tokenizer(request.prompt)["input_ids"]
        shared = min(_shared(prompt, whole) for whole in wholes)
        expected = [alone(qwen, Path(0, 0, np.array(whole, np.int32), shared)) for whole in wholes]
        assert shared < len(prompt) and found == pytest.approx(expected, abs=1e-4)
    assert scores(qwen, merged, boundary="exact") != scores(qwen, merged)
    assert scores(qwen, plain, boundary="exact") == scores(qwen, plain)


def _shared(first: list[int], second: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), len(first))


# ---------------------------------------------------------------- tries


def path_of(*tokens: int, start: int = 1, index: int = 0) -> Path:
    return Path(index, 0, np.array(tokens, np.int32), start)


def test_a_trie_by_hand() -> None:
    """1 2 (3 4 | 5) and 1 6, the last token of each path only predicted."""
    row = trie([path_of(1, 2, 3, 4, 9), path_of(1, 2, 5, 9, start=2), path_of(1, 6, 9)], [0, 2, 1])
    assert row.ids.tolist() == [1, 2, 3, 4, 5, 6] and row.depths.tolist() == [0, 1, 2, 3, 2, 1]
    assert row.ends.tolist() == [6, 5, 4, 4, 5, 6]
    assert row.nodes == [[0, 1, 2, 3], [1, 4], [0, 5]]
    mask = scoring.ancestors(torch.tensor(row.ends)[None], torch.float32)[0, 0] == 0
    seen = {number: row.ids[line.numpy()].tolist() for number, line in enumerate(mask)}
    assert seen == {0: [1], 1: [1, 2], 2: [1, 2, 3], 3: [1, 2, 3, 4], 4: [1, 2, 5], 5: [1, 6]}


def test_equal_paths_and_beginnings_of_others() -> None:
    row = pack([path_of(1, 2, 3, 4, 5, 6), path_of(1, 2, 3, 4, 5, 7), path_of(1, 2, 3, 4, 9)])[0]
    assert row.ids.tolist() == [1, 2, 3, 4, 5] and [path.tokens[-1] for path in row.paths] == [9, 6, 7]
    assert [nodes[-1] for nodes in row.nodes] == [3, 4, 4]


def test_packing_keeps_every_path_and_saves_tokens(qwen: Model, requests: dict[str, list[Request]]) -> None:
    for style, saved in (("paper", 0.6), ("plain", 0.55), ("letters", 0.7)):
        paths = encode(qwen.tokenizer, requests[style], qwen.max_tokens).paths
        rows = pack(paths)
        assert sorted((p.index, p.number) for row in rows for p in row.paths) == [(p.index, p.number) for p in paths]
        for row in rows:
            for path, nodes in zip(row.paths, row.nodes):
                line = [t for j, t in enumerate(row.ids) if j <= nodes[-1] < row.ends[j]]
                assert line == path.tokens[:-1].tolist() and len(nodes) == path.scored
        assert sum(row.length for row in rows) < (1 - saved) * sum(len(path.tokens) - 1 for path in paths)
        assert [row.length for row in rows] == sorted((row.length for row in rows), reverse=True)


def test_prompts_with_nothing_in_common_stand_apart() -> None:
    paths = [path_of(first, 2, 3, 4, 5, 6, index=first) for first in range(5)]
    assert [len(row.paths) for row in pack(paths)] == [1] * 5
    shared = [path_of(1, 2, 3, 4, 5, last, 7, index=last) for last in range(5)]
    assert [len(row.paths) for row in pack(shared)] == [5]
    assert pack([]) == []


def test_many_names_take_several_rows(qwen: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f" {number} is the number of a city" for number in range(30))
    asked = [Request("many", "Question: ?\nAnswer:", names)]
    whole = scores(qwen, asked)
    monkeypatch.setattr(scoring, "ROW_TOKENS", 20)
    rows = pack(encode(qwen.tokenizer, asked, qwen.max_tokens).paths)
    assert len(rows) > 2 and max(row.length for row in rows) <= 50
    assert scores(qwen, asked)[0] == pytest.approx(whole[0], abs=1e-4)


class Limited(torch.nn.Module):
    """A network with room for so many tokens at a time, or that fails in another way."""

    def __init__(self, network: Any, tokens: int, error: Exception | None = None) -> None:
        super().__init__()
        self.network, self.tokens, self.error, self.batches = network, tokens, error, []
        self.config, self.dtype, self.get_output_embeddings = (
            network.config,
            network.dtype,
            network.get_output_embeddings,
        )

    def forward(self, input_ids: Any, **inputs: Any) -> Any:
        if self.error:
            raise self.error
        if input_ids.numel() > self.tokens:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {input_ids.numel()} tokens")
        self.batches.append(input_ids.shape[0])
        return self.network(input_ids, **inputs)


# ---------------------------------------------------------------- models that take no block mask


def test_auto_packs_where_packing_is_right(model: Model, requests: dict[str, list[Request]]) -> None:
    scorer = Scorer(model)
    scorer.rows(encode(model.tokenizer, requests["paper"], model.max_tokens).paths)
    assert scorer.sharing == "packed"


def test_a_wrong_mask_is_found_out(
    qwen: Model, requests: dict[str, list[Request]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted defect: every token sees all the earlier ones of its row."""
    real = scoring.ancestors
    monkeypatch.setattr(scoring, "ancestors", lambda ends, dtype: real(torch.full_like(ends, 10**6), dtype))
    scorer = Scorer(qwen)
    rows = scorer.rows(encode(qwen.tokenizer, requests["paper"], qwen.max_tokens).paths)
    assert scorer.sharing == "separate" and "log-probabilities differ by" in capsys.readouterr().err
    assert all(len(row.paths) == 1 for row in rows)


def test_autocast_is_no_wrong_mask(qwen: Model, requests: dict[str, list[Request]]) -> None:
    """In training the weights are float32, but the forward pass rounds: gaps like those of bfloat16 are right."""

    class Rounded(Limited):
        def forward(self, input_ids: Any, attention_mask: Any, **inputs: Any) -> Any:
            found = super().forward(input_ids, attention_mask=attention_mask, **inputs)
            if attention_mask.ndim == 4:
                # A twentieth of the vocabulary twice: about 0.05 less for each token of a packed row, which is half of
                # what bfloat16 may differ by, and several times what float32 may.
                again = found.logits[..., : found.logits.shape[-1] // 20]
                found.logits = torch.cat([found.logits, again], dim=-1)
            return found

    paths = encode(qwen.tokenizer, requests["paper"][:12], qwen.max_tokens).paths
    rounded = replace(qwen, network=Rounded(qwen.network, 1 << 20))
    for autocast, sharing in ((False, "separate"), (True, "packed")):
        scorer = Scorer(replace(rounded, autocast=autocast))
        scorer.rows(paths)
        assert scorer.sharing == sharing


def test_a_model_that_raises_is_scored_separately(
    qwen: Model, requests: dict[str, list[Request]], capsys: pytest.CaptureFixture[str]
) -> None:
    class Plain(Limited):
        def forward(self, input_ids: Any, attention_mask: Any, **inputs: Any) -> Any:
            if attention_mask.ndim == 4:
                raise ValueError("the mask must be (B, T)")
            return super().forward(input_ids, attention_mask=attention_mask, **inputs)

    asked = requests["plain"][:6]
    found = scores(replace(qwen, network=Plain(qwen.network, 1 << 20)), asked, "auto")
    assert "it raised ValueError: the mask must be (B, T)" in capsys.readouterr().err
    assert sum(found, []) == pytest.approx(sum(scores(qwen, asked), []), abs=1e-4)


def test_a_model_without_an_output_layer(
    qwen: Model, requests: dict[str, list[Request]], capsys: pytest.CaptureFixture[str]
) -> None:
    headless = replace(qwen, network=Limited(qwen.network, 1 << 20))
    headless.network.get_output_embeddings = lambda: None
    asked = requests["plain"][:6]
    with pytest.raises(ConfigError, match="names no output layer .*; use --sharing separate"):
        scores(headless, asked)
    assert sum(scores(headless, asked, "auto"), []) == pytest.approx(sum(scores(qwen, asked), []), abs=1e-4)
    assert "it raised ConfigError: the model names no output layer" in capsys.readouterr().err


def test_sliding_windows_are_scored_separately(qwen: Model, requests: dict[str, list[Request]]) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    settings = qwen.network.config.to_dict()
    settings |= {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["sliding_attention"] * 2}
    network = Qwen2ForCausalLM(Qwen2Config(**settings))
    network.load_state_dict(qwen.network.state_dict())
    sliding = replace(qwen, network=network.eval())
    asked = requests["plain"][:6]
    paths = encode(qwen.tokenizer, asked, 2048).paths
    scorer = Scorer(sliding)
    scorer.rows(paths)
    assert scorer.sharing == "separate"
    expected = [alone(sliding, path) for path in paths]
    assert sum(scores(sliding, asked, "auto"), []) == pytest.approx(expected, abs=1e-4)


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("sharing", ["packed", "separate"])
def test_running_out_of_memory_makes_batches_smaller(
    qwen: Model, requests: dict[str, list[Request]], sharing: str
) -> None:
    asked = requests["plain"]
    limited = Limited(qwen.network, 900)
    found = scores(replace(qwen, network=limited), asked, sharing, batch_tokens=1 << 16)
    assert sum(found, []) == pytest.approx(sum(scores(qwen, asked), []), abs=1e-4)
    assert len(limited.batches) > 3 and max(limited.batches) > 1


def test_one_item_that_does_not_fit_is_named(qwen: Model, requests: dict[str, list[Request]]) -> None:
    asked = requests["plain"][:2]
    with pytest.raises(DataError, match=r"^fact \S+ in \w\w: one item alone does not fit into memory"):
        scores(replace(qwen, network=Limited(qwen.network, 5)), asked)


def test_other_errors_are_not_taken_for_lack_of_memory(qwen: Model, requests: dict[str, list[Request]]) -> None:
    broken = Limited(qwen.network, 1 << 20, RuntimeError("the size of tensor a must match the size of tensor b"))
    with pytest.raises(RuntimeError, match="the size of tensor a"):
        scores(replace(qwen, network=broken), requests["plain"][:1])


def test_the_hook_is_gone_after_an_error(qwen: Model, requests: dict[str, list[Request]]) -> None:
    """Else whoever uses the network next would get logits of other positions."""
    with pytest.raises(DataError):
        scores(replace(qwen, network=Limited(qwen.network, 5)), requests["plain"][:1])
    assert qwen.network(torch.zeros(2, 3, dtype=torch.long)).logits.shape[:2] == (2, 3)


def test_nan_logits_are_named(
    tiny: Callable[[str], File], requests: dict[str, list[Request]], capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(str(tiny("qwen2")), device="cpu")
    with torch.no_grad():
        model.network.get_output_embeddings().weight[7] = float("nan")
    with pytest.raises(DataError, match=r"fact \S+ in \w\w: the model's log-probabilities are not finite \(nan\)"):
        scores(model, requests["plain"][:1])
    assert "trie" not in capsys.readouterr().err


def test_long_prompts_lose_their_start_as_in_lm_eval(qwen: Model) -> None:
    asked = [Request("long", "word " * 100 + "Answer:", (" Paris",))]
    encoding = encode(qwen.tokenizer, asked, 40)
    assert encoding.truncated == 1 and len(encoding.paths[0].tokens) == 41
    found = next(Scorer(qwen, "packed").score(pack(encoding.paths), ["long"]))
    assert found.logprob == pytest.approx(harness(qwen, asked, max_length=40)[0][0], abs=1e-4)
    assert not encode(qwen.tokenizer, asked, 2048).truncated


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("fact 1", "", (" A",)), "fact 1: the prompt is empty"),
        (Request("fact 2", "Answer:", ("",)), "fact 2: '' merges wholly with its prompt"),
        (Request("fact 3", "Answer:", (" Paris" * 60,)), "fact 3: an answer has more tokens than the model takes"),
    ],
)
def test_unusable_requests_are_named(qwen: Model, request_: Request, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(qwen.tokenizer, [request_], 30)
