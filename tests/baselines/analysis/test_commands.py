"""Every command on tiny models, from a release to the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from baselines import figures
from baselines.analysis import drift, failure_modes, files, lahis, lape, layer_rank, report, uncertainty
from baselines.data import load
from baselines.evaluate import results
from polyfact_dataset.common.errors import ConfigError
from tests.support.analysis_results import BASE, CODES, TRAINED, generations
from tests.support.choice_results import save

LANGUAGES = "en,zh"


@pytest.fixture(scope="module")
def models(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A base, and the same with its weights moved."""
    base, trained = tiny("olmo2"), tmp_path_factory.mktemp("moved") / "trained"
    network = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.05 * torch.randn_like(weights)
    network.save_pretrained(trained)
    AutoTokenizer.from_pretrained(base).save_pretrained(trained)
    return {"base": str(base), "trained": str(trained)}


@pytest.fixture(scope="module")
def text(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions of the release as parallel text."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    rows = load(release, "clean", "train", LANGUAGES.split(","))[:30]
    lines = [json.dumps({code: item.question for code, item in fact.items.items()}) for fact in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_from_a_release_to_the_page(
    release: Path, models: dict[str, str], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are coarse here: most of the time would go into their pixels."""
    monkeypatch.setattr(figures, "PNG_DPI", 40)
    written = []
    common = {"languages": LANGUAGES, "device": "cpu"}
    for label, model in models.items():
        own = {**common, "model": model, "label": label}
        data = {"dataset": str(release), **own}
        made = {name: tmp_path / f"{label}.{name}.json" for name in ("lape", "lahis", "ranks", "unsure")}
        lape.main(text=text, output=made["lape"], sample_tokens=128, last_layers=1, **own)
        lahis.main(text=text, output=made["lahis"], sample_tokens=128, samples=2, share=0.25, **own)
        layer_rank.main(output=made["ranks"], limit=4, **data)
        uncertainty.main(output=made["unsure"], limit=2, answers=2, new_tokens=4, **data)
        written += made.values()
    written.append(tmp_path / "trained.drift.json")
    moved = {"base": models["base"], "model": models["trained"], "label": "trained"}
    drift.main(output=written[-1], dataset=str(release), limit=4, **moved, **common)
    written += answers(tmp_path)
    report.main(written, tmp_path / "page")

    found = {path.name: files.load(path) for path in written}
    result, arrays = found["base.lape.json"]
    tokens = {code: result.inputs["tokens"][code] for code in LANGUAGES.split(",")}
    tokenizer = AutoTokenizer.from_pretrained(models["base"])
    lines = [json.loads(line) for line in text.read_text(encoding="utf-8").splitlines()]
    for code, count in tokens.items():
        assert count == sum(len(tokenizer(line[code] + "\n")["input_ids"]) for line in lines)
    assert arrays["counts"].shape == (2, 2, 128)
    assert result.metrics["neurons"] == arrays["mask"].sum() <= round(0.01 * 256)
    assert result.models[0]["weights"] != found["trained.lape.json"][0].models[0]["weights"]
    assert found["base.lahis.json"][0].metrics["heads"] == [2, 2]
    ranks, _ = found["base.ranks.json"]
    assert sum(ranks.metrics["zh"][name] for name in layer_rank.OUTCOMES) == 4
    assert found["trained.drift.json"][0].metrics["all"]["states"] == 8
    assert found["trained.drift.json"][0].metrics["all"]["mean_norm"] > 0
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert all(title in page for title in report.TITLES.values())


def answers(folder: Path) -> list[Path]:
    """Failure modes of two results of the evaluators."""
    written = []
    for label, planted in (("base", BASE), ("trained", TRAINED)):
        path = folder / f"{label}.open.json"
        data = {"source": "x", "config": "open", "split": "test", "revision": None, "content": None, "facts": 2}
        about = results.Data(**data, languages=CODES, digests={})
        save(path, generations(planted), label, about, kind="open", prompt=results.Prompt(style="free", sha256="0"))
        written.append(folder / f"{label}.failures.json")
        failure_modes.main(path, written[-1])
    return written


def test_the_same_run_gives_the_same_numbers(models: dict[str, str], text: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lape.main(model=models["base"], text=text, output=tmp_path / name / "lape.json", device="cpu")
    first, second = (files.load(tmp_path / name / "lape.json") for name in ("one", "two"))
    assert first[0].arrays == second[0].arrays
    assert np.array_equal(first[1]["counts"], second[1]["counts"])
    with pytest.raises(ConfigError, match="--overwrite"):
        lape.main(model=models["base"], text=text, output=tmp_path / "one" / "lape.json")


def test_a_share_of_no_head_is_refused_before_the_text_is_read(
    models: dict[str, str], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lahis, "importances", lambda *_: pytest.fail("the text was read"))
    with pytest.raises(ConfigError, match="0.02 of 8 heads is none; one head is a share of 0.125"):
        lahis.main(model=models["base"], text=text, output=tmp_path / "l.json", languages=LANGUAGES, device="cpu")


def test_a_prompt_that_shows_options_has_no_answer_position(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without options"):
        layer_rank.main(model="m", output=tmp_path / "r.json", style="choose")
