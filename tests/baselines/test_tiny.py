"""The tiny models: reproducible, and with the tokenizers' habits of their families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("transformers", reason="needs polyfact[eval]")

from baselines import tiny as module  # noqa: E402
from baselines.models import load_model  # noqa: E402
from polyfact_dataset.common.errors import ConfigError  # noqa: E402

LINES = ["Question: one two three 1234?\nAnswer: four", "質問：東京は？\n回答：日本"] * 5


def test_equal_seeds_give_equal_models(tmp_path: Path) -> None:
    made = [
        module.make("qwen2", tmp_path / name, LINES, vocabulary=300, hidden=16, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    weights = [load_model(str(folder), device="cpu").identity["weights"] for folder in made]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(("family", "digits"), [("qwen2", 4), ("olmo2", 2)])
def test_families_split_as_the_real_ones_do(tiny: Callable[[str], Path], family: str, digits: int) -> None:
    tokenizer = load_model(str(tiny(family)), device="cpu").tokenizer
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("1234")
    assert len(pieces) == digits
    for text in ("Jibu: Dar es Salaam", "回答：東京", "الإجابة: مصر", "প্রশ্ন: বাংলা", "a\n b"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    # A full-width colon belongs to the word behind it, so an answer can merge with its prompt's last token.
    assert len(tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("：東京")) == 1


def test_predictions_depend_on_the_prompt(tiny: Callable[[str], Path]) -> None:
    model = load_model(str(tiny("olmo2")), device="cpu")
    ends = []
    for text in ("Question: A?\nAnswer:", "Question: B?\nAnswer:"):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            ends.append(model.network(ids).logits[0, -1])
    assert float((ends[0] - ends[1]).abs().max()) > 0.1


def test_an_unknown_family(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown family 'gpt2'; known are qwen2, olmo2"):
        module.make("gpt2", tmp_path, LINES)  # type: ignore[arg-type]


def test_a_folder_that_holds_something_is_not_replaced(release: Path, tmp_path: Path) -> None:
    output, chosen = tmp_path / "model", {"facts": 2, "vocabulary": 300, "hidden": 16}
    module.main(output, str(release), **chosen)
    (output / "model-00001-of-00002.safetensors").touch()
    before = (output / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=f"{output} holds a model already; .* add --overwrite"):
        module.main(output, str(release), seed=1, **chosen)
    assert (output / "model.safetensors").read_bytes() == before
    module.main(output, str(release), seed=1, overwrite=True, **chosen)
    assert (output / "model.safetensors").read_bytes() != before
    assert not (output / "model-00001-of-00002.safetensors").exists()
    (tmp_path / "notes.txt").write_text("mine")
    for folder, message in ((tmp_path, "holds something that is no model"), (tmp_path / "notes.txt", "is a file")):
        with pytest.raises(ConfigError, match=message):
            module.main(folder, str(release), overwrite=True, **chosen)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("hidden", "heads", "message"),
    [(64, 3, "must be a multiple of 2 x heads 3"), (36, 4, "must be a multiple of 2 x heads 4"), (54, 3, "even: two")],
)
def test_heads_of_one_even_width(tmp_path: Path, hidden: int, heads: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module.make("qwen2", tmp_path / "m", LINES, hidden=hidden, heads=heads)
    assert not (tmp_path / "m").exists()
