"""Continual pretraining: its loss against plain log-probabilities, accumulation, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from transformers import TrainerCallback  # noqa: E402

from baselines.corpus import Settings, build  # noqa: E402
from baselines.cpt import CptConfig, check_corpus, load_chunks, make_trainer, train  # noqa: E402
from baselines.training.likelihood import validation_loss  # noqa: E402
from baselines.training.loop import fit  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError  # noqa: E402
from tests.support.training_runs import difference, settings, trace  # noqa: E402


@pytest.fixture(scope="module")
def corpus(release: Path, tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions of the release as talks of unequal rows."""
    from transformers import AutoTokenizer

    from baselines.data import load

    folder = tmp_path_factory.mktemp("corpus")
    facts = load(release, "clean", "train", ("en", "ja", "sw")).sample(40)
    rows = [
        {"talk": f"t{n // 4}", "position": n, "translations": {code: i.question for code, i in fact.items.items()}}
        for n, fact in enumerate(facts)
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chosen = Settings(("en", "ja", "sw"), target_tokens=40, max_tokens=120, validation_share=0.2)
    build([folder / "in.jsonl"], [], AutoTokenizer.from_pretrained(tiny("qwen2")), folder / "corpus", chosen)
    return folder / "corpus"


def configured(model: Path, release: Path, corpus: Path, folder: Path, **changes: Any) -> CptConfig:
    found = settings(model, release, folder, **{"lora": None, **changes})
    return CptConfig.model_validate({**found, "corpus": {"folder": str(corpus)}})


def by_hand(network: Any, chunks: Any) -> tuple[float, int]:
    """Summed negative log-likelihood of the tokens of chunks, one by one, and their number."""
    total, count = 0.0, 0
    for chunk in chunks:
        ids = torch.tensor([chunk["input_ids"]])
        with torch.inference_mode():
            logprobs = network(ids).logits[0, :-1].log_softmax(-1)
        total -= float(logprobs.gather(-1, ids[0, 1:, None]).sum())
        count += ids.shape[1] - 1
    return total, count


def test_the_loss_is_the_mean_over_tokens(
    release: Path, tiny: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(tiny("qwen2")).eval()
    validation, chunks = load_chunks(corpus / "validation.parquet"), load_chunks(corpus / "train.parquet")
    assert len({len(chunk["input_ids"]) for chunk in chunks}) > 3, "chunks of unequal length"
    changes: dict[str, Any] = {"optimisation__max_steps": 1, "evaluation__steps": 1, "output__checkpoint_steps": 1}
    config = configured(tiny("qwen2"), release, corpus, tmp_path, optimisation__batch=len(chunks), **changes)
    train(config)
    total, count = by_hand(network, chunks)
    assert trace(tmp_path, "loss")[1] == pytest.approx(total / count, rel=1e-5)
    total, count = by_hand(network, validation)
    assert trace(tmp_path, "eval_corpus_loss")[0] == pytest.approx(total / count, rel=1e-5)
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "final").eval()
    total, count = by_hand(trained, validation)
    assert trace(tmp_path, "eval_corpus_loss")[1] == pytest.approx(total / count, rel=1e-5)
    assert "eval_paper_mean_accuracy" in (tmp_path / "log.jsonl").read_text()


def test_accumulation_counts_tokens_not_batches(
    release: Path, tiny: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    made = []
    for batch, accumulation in ((1, 8), (8, 1)):
        folder = tmp_path / f"{batch}x{accumulation}"
        changes = {"optimisation__batch": batch, "optimisation__accumulation": accumulation}
        config = configured(tiny("qwen2"), release, corpus, folder, optimisation__max_steps=3, **changes)
        made.append(train(config))
    # Sums in another order: what Adam makes of it depends on the threads of the processor.
    assert difference(*made) < 5e-4
    one, other = (list(trace(folder.parent, "loss").values()) for folder in made)
    assert one == pytest.approx(other, rel=1e-4) and one[-1] < one[0]


def test_tokens_are_counted_over_a_kill(
    release: Path, tiny: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    changes = {"optimisation__max_steps": 4, "output__checkpoint_steps": 2, "evaluation__steps": None}
    whole, killed = (configured(tiny("qwen2"), release, corpus, tmp_path / name, **changes) for name in "ab")
    train(whole)

    class Killer(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                raise KeyboardInterrupt

    run = Run.start(killed)
    trainer = make_trainer(run, killed)
    trainer.add_callback(Killer())
    with pytest.raises(KeyboardInterrupt):
        fit(run, trainer)
    train(killed)
    assert trace(tmp_path / "a", "num_tokens") == trace(tmp_path / "b", "num_tokens")
    assert difference(tmp_path / "a" / "final", tmp_path / "b" / "final") == 0.0
    drafted = list(tmp_path.rglob("README.md"))
    assert drafted == [], "cards are made when a model is pushed"


def test_a_limited_validation_is_the_first_chunks(
    release: Path, tiny: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    run = Run.start(config := configured(tiny("qwen2"), release, corpus, tmp_path))
    trainer = make_trainer(run, config)
    some = load_chunks(corpus / "validation.parquet", 3)
    total, count = by_hand(run.network.eval(), some)
    assert len(some) == 3 and validation_loss(trainer, some) == pytest.approx(total / count, rel=1e-5)


def test_a_corpus_of_another_tokenizer_or_other_files_is_refused(
    tiny: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    from shutil import copytree

    from transformers import AutoTokenizer

    with pytest.raises(ConfigError, match="not by this model's"):
        check_corpus(corpus, AutoTokenizer.from_pretrained(tiny("olmo2")))
    spoilt = copytree(corpus, tmp_path / "spoilt")
    (spoilt / "train.parquet").write_bytes((spoilt / "validation.parquet").read_bytes())
    with pytest.raises(DataError, match=r"train.parquet differs from its digest in report.json"):
        check_corpus(spoilt, AutoTokenizer.from_pretrained(tiny("qwen2")))
