"""Prompts in a chat template, the warm start in GRPO's prompt, and the best checkpoint of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines import grpo, sft, warm_start  # noqa: E402
from baselines.data import load  # noqa: E402
from baselines.grpo import GrpoConfig  # noqa: E402
from baselines.prompts import Prompt, item_prompt  # noqa: E402
from baselines.sft import SftConfig  # noqa: E402
from baselines.training.chat import chat_prompt  # noqa: E402
from baselines.training.loop import fit  # noqa: E402
from baselines.training.run import Run  # noqa: E402
from baselines.warm_start import WarmStartConfig  # noqa: E402
from polyfact_dataset.common.errors import ConfigError  # noqa: E402
from polyfact_dataset.common.files import read_json  # noqa: E402
from tests.support.training_runs import difference, settings, trace  # noqa: E402

TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"


@pytest.fixture(scope="module")
def chatty(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer has a chat template."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("chatty") / "model"
    shutil.copytree(tiny("qwen2"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE.replace("{{ bos_token }}", "")
    tokenizer.save_pretrained(folder)
    return folder


def test_a_prompt_is_the_users_turn(chatty: Path, tiny: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chatty)
    assert chat_prompt(Prompt("Where?", " "), tokenizer) == Prompt("[user]Where?[assistant]", "")
    with pytest.raises(ConfigError, match="chat: the tokenizer has no chat template; set chat to false"):
        chat_prompt(Prompt("Where?", " "), AutoTokenizer.from_pretrained(tiny("qwen2")))


@pytest.mark.parametrize(("added", "text"), [([1, 7], "[user]Where?[assistant]"), ([7], "<s>[user]Where?[assistant]")])
def test_a_sequence_begins_once(added: list[int], text: str) -> None:
    """The template's beginning of the sequence goes where the tokenizer adds one itself, and only there."""

    class Tokenizer:
        chat_template, bos_token, bos_token_id = TEMPLATE, "<s>", 1

        def apply_chat_template(self, messages: Any, tokenize: bool, add_generation_prompt: bool) -> str:
            return f"<s>[user]{messages[0]['content']}[assistant]"

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": added}

    assert chat_prompt(Prompt("Where?", " "), Tokenizer()).text == text


@pytest.mark.parametrize("chat", [False, True])
def test_the_warm_start_answers_the_prompt_of_grpo(chat: bool, chatty: Path, release: Path, tmp_path: Path) -> None:
    """The text of the gold and the end of the sequence are learned, behind the prompt that GRPO samples from."""
    config = settings(chatty, release, tmp_path / "grpo", dataset__max_facts=2, optimisation__batch=6, chat=chat)
    config["rollouts"] = {"generations": 2, "max_new_tokens": 4, "max_prompt_tokens": 2000, "min_feasible": 0}
    checked = GrpoConfig.model_validate(config)
    asked = grpo.make_trainer(Run.start(checked), checked).train_dataset
    warm = WarmStartConfig.model_validate(settings(chatty, release, tmp_path / "warm", dataset__max_facts=2, chat=chat))
    run = Run.start(warm)
    facts = run.facts()
    found = warm_start.examples(facts, run.languages, run.tokenizer, "choose", run.prompt)
    items = [(code, fact.items[code]) for fact in facts for code in run.languages]
    for (code, item), ids, labels, prompt in zip(
        items, found["input_ids"], found["labels"], asked["prompt"], strict=True
    ):
        plain = item_prompt("choose", code, item)
        assert prompt == (f"[user]{plain.text}[assistant]" if chat else plain.text)
        separator = "" if chat else plain.separator
        gold = item.options[item.answer]
        assert run.tokenizer.decode(ids) == prompt + separator + gold + run.tokenizer.eos_token
        learned = run.tokenizer.decode([label for label in labels if label != -100])
        assert learned.endswith(gold + run.tokenizer.eos_token) and len(learned) <= len(gold) + 2 + len("<|endoftext|>")


def test_a_warm_start_learns_the_answers(chatty: Path, release: Path, tmp_path: Path) -> None:
    config = settings(chatty, release, tmp_path / "run", dataset__max_facts=4, chat=True)
    config["optimisation"] |= {"batch": 12, "epochs": 12}
    config["evaluation"] |= {"steps": None}
    warm_start.train(WarmStartConfig.model_validate(config))
    losses = trace(tmp_path / "run", "loss")
    assert losses[12] < 0.9 * losses[1]


def best_of(run_folder: Path, model: Path, release: Path, best: str | None, values: dict[int, float]) -> Run:
    """A finished run of 16 steps, evaluated every 4, in which `made_up` has these values."""
    config = settings(model, release, run_folder, optimisation__epochs=2)
    config["evaluation"] = {"facts": 2, "steps": 4, "at_start": False, "best": best}
    checked = SftConfig.model_validate(config)
    run = Run.start(checked)
    run.evaluators.append(lambda step: {"made_up": values[step]})
    fit(run, sft.make_trainer(run, checked, run.facts()))
    return run


def test_the_final_model_is_the_best_checkpoint(tiny: Callable[[str], Path], release: Path, tmp_path: Path) -> None:
    """It is kept although later ones would have removed it; of equal ones the first counts."""
    values = {4: 0.2, 8: 0.9, 12: 0.9, 16: 0.1}
    run = best_of(tmp_path / "best", tiny("qwen2"), release, "made_up", values)
    assert difference(run.folder / "final", run.folder / "checkpoint-8") == 0.0
    assert difference(run.folder / "final", run.folder / "checkpoint-16") > 0
    record = read_json(run.folder / "run.json")
    assert record["best"] == {"step": 8, "made_up": 0.9} and record["evaluation"]["made_up"] == 0.9
    last = best_of(tmp_path / "last", tiny("qwen2"), release, None, values)
    assert difference(last.folder / "final", last.folder / "checkpoint-16") == 0.0
    assert "best" not in read_json(last.folder / "run.json")


def test_a_best_metric_that_is_not_measured(tiny: Callable[[str], Path], release: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="evaluation.best 'acuracy' is not measured; known are made_up, paper_"):
        best_of(tmp_path / "run", tiny("qwen2"), release, "acuracy", {4: 0.0})


def test_open_answers_are_figures_of_an_evaluation(tiny: Callable[[str], Path], release: Path, tmp_path: Path) -> None:
    config = settings(tiny("qwen2"), release, tmp_path / "run", optimisation__max_steps=1, dataset__held_out=["de"])
    config["output"] |= {"checkpoint_steps": 1}
    config["evaluation"] = {"facts": 2, "steps": 1, "at_start": False, "open_facts": 3, "open_new_tokens": 4}
    sft.train(SftConfig.model_validate(config))
    figures = read_json(tmp_path / "run" / "run.json")["evaluation"]
    assert {"open_lenient", "open_exact", "open_held_out_lenient", "paper_sum_mean_accuracy"} <= figures.keys()
    assert len(load(release, "clean", "validation").sample(3)) == 3
    assert read_json(tmp_path / "run" / "evaluations" / "step-000001-open.json")["metrics"]["languages"].keys() == {
        *("en", "ja", "sw", "de")
    }
