"""RFT: which answers are kept, what of them is learned, and that sampling can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines import rft  # noqa: E402
from baselines.data import Fact, Rows, load  # noqa: E402
from baselines.prompts import item_prompt  # noqa: E402
from baselines.rft import RftConfig, correct_answers, examples, train  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from baselines.training.sampling import SamplingConfig, sample_answers  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError  # noqa: E402
from polyfact_dataset.common.files import read_json  # noqa: E402
from tests.support.training_runs import settings, trace  # noqa: E402


@pytest.fixture(scope="module")
def facts(release: Path) -> Rows[Fact]:
    return load(release, "clean", "train", ("en", "ja")).sample(6)


def samples_of(facts: Rows[Fact]) -> pa.Table:
    """Fact 0: right in both; 1: wrong; 2: right among wrong ones, in other writing; 3: empty; 4: a letter; 5: none."""
    gold = [{code: item.options[item.answer] for code, item in fact.items.items()} for fact in facts]
    wrong = [item.options[(item.answer + 1) % 4] for fact in facts for item in [fact.items["en"]]]
    rows = [
        (0, "en", gold[0]["en"]),
        (0, "en", gold[0]["en"]),
        (0, "ja", gold[0]["ja"]),
        (1, "en", wrong[1]),
        (2, "en", wrong[2]),
        (2, "en", f"  {gold[2]['en'].upper()}."),
        (3, "en", ""),
        (4, "en", "ABCD"[facts[4].items["en"].answer]),
    ]
    return pa.table(
        {
            "fact_id": [facts[number].fact_id for number, _, _ in rows],
            "language": [code for _, code, _ in rows],
            "text": [text for _, _, text in rows],
        }
    )


def test_correct_answers_are_kept_once(facts: Rows[Fact]) -> None:
    found = [(fact.fact_id, code) for fact, code in correct_answers(facts, samples_of(facts))]
    assert found == [(facts[0].fact_id, "en"), (facts[0].fact_id, "ja"), (facts[2].fact_id, "en")]


def test_the_answer_and_its_end_are_learned(facts: Rows[Fact], tiny: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("qwen2"))
    found = examples(facts, samples_of(facts), tokenizer, SamplingConfig())
    kept = [(facts[0], "en"), (facts[0], "ja"), (facts[2], "en")]
    assert len(found["input_ids"]) == 3
    for (fact, code), ids, labels in zip(kept, found["input_ids"], found["labels"]):
        item = fact.items[code]
        asked = item_prompt("choose", code, item)
        gold = item.options[item.answer]
        assert tokenizer.decode(ids) == asked.text + asked.separator + gold + tokenizer.eos_token
        learned = tokenizer.decode([label for label in labels if label != -100])
        assert learned.endswith(gold + tokenizer.eos_token) and len(learned) <= len(gold + tokenizer.eos_token) + 2
        assert all(label in (-100, token) for label, token in zip(labels, ids, strict=True))


def test_sampling_can_be_repeated(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    sampling = SamplingConfig(samples=3, max_new_tokens=4, temperature=1.5)
    tables = []
    for name, changes in (("a", {}), ("b", {}), ("c", {"seed": 7})):
        config = settings(tiny("qwen2"), release, tmp_path / name, dataset__max_facts=4, **changes)
        run = Run.start(RftConfig.model_validate(config))
        before = torch.get_rng_state()
        kept = run.network.generation_config
        tables.append(sample_answers(run, run.facts(), sampling))
        assert torch.equal(before, torch.get_rng_state()) and run.network.generation_config is kept
    assert tables[0].drop_columns([]).equals(tables[1].drop_columns([]))
    assert tables[0]["text"].to_pylist() != tables[2]["text"].to_pylist()
    counted = tables[0].group_by(["fact_id", "language"]).aggregate([("number", "count"), ("number", "max")])
    assert len(counted) == 4 * 3
    assert set(counted["number_count"].to_pylist()) == {3} and set(counted["number_max"].to_pylist()) == {2}
    assert len(set(tables[0]["text"].to_pylist())) > 6, "answers differ"
    with pytest.raises(ConfigError, match=r"samples.parquet was made with other settings"):
        sample_answers(run, run.facts(), sampling.model_copy(update={"temperature": 0.5}))


def test_it_trains_on_what_was_right(
    release: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def right_in_english(run: Run, facts: Rows[Fact], settings: Any) -> pa.Table:
        english = [(fact.fact_id, "en", fact.items["en"].options[fact.items["en"].answer]) for fact in facts]
        return pa.table(dict(zip(("fact_id", "language", "text"), map(list, zip(*english)))))

    monkeypatch.setattr(rft, "sample_answers", right_in_english)
    train(RftConfig.model_validate(settings(tiny("qwen2"), release, tmp_path, optimisation__epochs=3)))
    assert read_json(tmp_path / "run.json")["compared"]["data"]["samples"] == {"questions": 48, "answered": 16}
    losses = list(trace(tmp_path, "loss").values())
    assert len(losses) == 24 and sum(losses[-4:]) < sum(losses[:4]) - 1


def test_nothing_right_is_nothing_to_learn(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    config = settings(tiny("qwen2"), release, tmp_path, dataset__max_facts=2)
    config["sampling"] = {"samples": 1, "max_new_tokens": 1}
    for _ in range(2):  # what was sampled is there the second time
        with pytest.raises(DataError, match="none of 6 questions was answered correctly"):
            train(RftConfig.model_validate(config))
