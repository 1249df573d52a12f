"""DCO: its loss by hand, its log-probabilities against the evaluators', and what it draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from pydantic import ValidationError  # noqa: E402

from baselines.data import load  # noqa: E402
from baselines.dco import Collator, DcoConfig, answer_logprobs, dco_loss, draw, train  # noqa: E402
from baselines.prompts import item_prompt  # noqa: E402
from polyfact_dataset.common.errors import ConfigError  # noqa: E402
from tests.support.training_runs import settings, trace  # noqa: E402


def test_the_loss_by_hand() -> None:
    # pi: language 1 -2 and -5, language 2 -4 and -3; ref: -3 and -5, -6 and -4.
    policy = torch.tensor([[[-2.0, -5.0], [-4.0, -3.0]]])
    reference = torch.tensor([[[-3.0, -5.0], [-6.0, -4.0]]])
    # r_1 = (1) - (0) = 1, r_2 = 2 - 1 = 1; o_1 = 2, o_2 = -2
    first, second = dco_loss(policy, reference, 1.0)
    assert (float(first), float(second)) == (3.0, 1.0)
    first, second = dco_loss(policy, reference, 2.0)
    assert (float(first), float(second)) == (2.0, 3.0)


@pytest.mark.parametrize("family", ["qwen2", "olmo2"])
def test_log_probabilities_are_the_evaluators(family: str, release: Path, tiny: Callable[[str], Path]) -> None:
    from baselines.evaluate.scoring import Request, Scorer, encode
    from baselines.models import load_model

    model = load_model(str(tiny(family)), device="cpu")
    languages = ("en", "ja", "zh")
    facts = list(load(release, "clean", "train", languages)[:5])
    batch = Collator(model.tokenizer, languages, "paper", 42, 2048)(facts)
    with torch.inference_mode():
        found = answer_logprobs(model.network, batch).tolist()
    requests = []
    for fact in facts:
        codes, entities = draw(fact, languages, 42)
        for code in codes:
            item = fact.items[code]
            asked = item_prompt("paper", code, item)
            names = tuple(asked.separator + item.options[item.option_ids.index(entity)] for entity in entities)
            requests.append(Request(code, asked.text, names))
    scorer = Scorer(model, "separate")
    paths = encode(model.tokenizer, requests, 2048, "exact").paths
    scored = {
        (one.path.index, one.path.number): one.logprob
        for one in scorer.score(scorer.rows(paths), [request.name for request in requests])
    }
    assert found == pytest.approx([scored[row // 2, row % 2] for row in range(len(found))], abs=2e-3)


def test_languages_and_entities_are_drawn_without_the_gold(release: Path) -> None:
    facts = load(release, "clean", "train", ("en", "ja", "sw")).sample(400)
    drawn = [(fact, draw(fact, facts.languages, 42)) for fact in facts]
    languages = Counter(pair for _, (pair, _) in drawn)
    assert len(languages) == 6 and all(first != second for first, second in languages)
    golds = sum(fact.object_id == chosen for fact, (_, (chosen, _)) in drawn) / len(drawn)
    assert pytest.approx(golds, abs=0.08) == 0.25
    assert drawn[0][1] == draw(drawn[0][0], facts.languages, 42)
    assert any(draw(fact, facts.languages, 43) != pair for fact, pair in drawn)


def test_it_starts_from_its_reference_and_learns(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    config = settings(tiny("qwen2"), release, tmp_path, optimisation__epochs=4, optimisation__batch=8)
    train(DcoConfig.model_validate({**config, "prompt": "plain"}))
    first, second, loss = (trace(tmp_path, name) for name in ("loss_first", "loss_second", "loss"))
    assert loss[1] == pytest.approx(first[1] + second[1], rel=1e-5)
    # An epoch of two steps: single steps see other facts.
    assert loss[7] + loss[8] < 0.95 * (loss[1] + loss[2])
    assert 0 <= trace(tmp_path, "agreement")[8] <= 1


def test_what_cannot_be_compared_is_refused(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    config = settings(tiny("qwen2"), release, tmp_path / "a", dataset__languages=["en"])
    with pytest.raises(ConfigError, match="at least two"):
        train(DcoConfig.model_validate(config))
    with pytest.raises(ValidationError, match="dco needs lora"):
        DcoConfig.model_validate({**config, "lora": None})
    with pytest.raises(ValidationError, match="no names of entities"):
        DcoConfig.model_validate({**config, "prompt": "letters"})
