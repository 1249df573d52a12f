"""KLAR: reading its folder, the paper's prompts, contamination, and the evaluator end to end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baselines.evaluate import common, klar, results
from baselines.evaluate.engines import Answer
from baselines.evaluate.klar import LANGUAGES, RelationFile, Sample, load_klar, prompt_of, questions_of
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.errors import ConfigError, DataError
from tests.support import baseline_releases as releases

CAPITALS = [("France", "Paris"), ("Italy", "Rome"), ("Austria", "Vienna"), ("Egypt", "Cairo"), ("Peru", "Lima")]


def write_klar(folder: Path, languages: tuple[str, ...] = LANGUAGES) -> Path:
    """Two relations in each language; names carry the language, as `Paris-nl`, but for English."""
    for code in languages:
        tail = "" if code == "en" else f"-{code}"
        pairs = [(subject + tail, object_ + tail) for subject, object_ in CAPITALS]
        for relation, turned in (("capital", False), ("occupation", True)):
            ends = [(o, s) if turned else (s, o) for s, o in pairs]
            content = {
                "name": relation,
                "prompt_templates": [
                    f"{relation} <mask> of <subject>",
                    f"The {relation} of <subject> is <mask>",
                    "",
                    "",
                ],
                "samples": [
                    {
                        "subject": subject,
                        "object": object_,
                        "object_candidates": ", ".join(o for _, o in ends),
                        "index": index,
                    }
                    for index, (subject, object_) in enumerate(ends)
                ],
            }
            path = folder / code / f"{relation}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_klar(tmp_path_factory.mktemp("klar"))


def test_all_languages_are_read_in_the_papers_order(folder: Path) -> None:
    found = load_klar(str(folder))
    assert found.languages == LANGUAGES and found.languages[:7] == ("en", "es", "fr", "ru", "zh", "ja", "ar")
    assert set(found.files["nl"]) == {"capital", "occupation"}
    assert load_klar(str(folder), ("nl", "en")).digests() == {
        code: digest for code, digest in found.digests().items() if code in ("nl", "en")
    }


def test_prompts_have_three_shots_and_a_last_line(folder: Path) -> None:
    file = load_klar(str(folder)).files["nl"]["capital"]
    for sample in file.samples:
        lines = prompt_of(file, sample, "capital", 1, 42).split("\n")
        assert len(lines) == 4 and lines[3] == f"The capital of {sample.subject} is "
        known = {f"The capital of {other.subject} is {other.object}" for other in file.samples if other != sample}
        assert len(set(lines[:3])) == 3 and set(lines[:3]) <= known
    assert prompt_of(file, file.samples[0], "capital", 0, 42).endswith("capital of France-nl ")


def test_shots_are_drawn_from_the_others_in_the_order_of_their_index() -> None:
    # Out of order, and two of them with the same index.
    order = [*range(39, 0, -2), *range(0, 40, 2), 7]
    samples = tuple(Sample(subject=f"s{n}", object=f"o{place}", index=n) for place, n in enumerate(order))
    file = RelationFile(prompt_templates=("<subject>:",), samples=samples)
    for sample in samples:
        others = sorted((other for other in samples if other.index != sample.index), key=lambda other: other.index)
        shots = random.Random(f"5|klar|r|{sample.index}").sample(others, 3)
        expected = [*(f"{shot.subject}: {shot.object}" for shot in shots), f"{sample.subject}: "]
        assert prompt_of(file, sample, "r", 0, 5) == "\n".join(expected)


def test_shots_depend_on_the_seed_and_not_on_the_language(folder: Path) -> None:
    files = load_klar(str(folder)).files
    first, second = (files[code]["capital"] for code in ("nl", "tr"))
    in_dutch = [prompt_of(first, sample, "capital", 1, 42) for sample in first.samples]
    in_turkish = [prompt_of(second, sample, "capital", 1, 42) for sample in second.samples]
    assert [text.replace("-nl", "-tr") for text in in_dutch] == in_turkish
    assert in_dutch != [prompt_of(first, sample, "capital", 1, 43) for sample in first.samples]


def test_golds_of_all_languages_come_with_each_question(folder: Path) -> None:
    questions = questions_of(load_klar(str(folder)), 1, 42, None)
    assert len(questions) == 17 * 2 * 5
    question = next(q for q in questions if (q.fact_id, q.language) == ("capital|1", "uk"))
    assert question.accepted["uk"] == ("Rome-uk",) and question.accepted["en"] == ("Rome",)
    assert question.contaminated is None


def test_held_out_languages_that_we_have_are_asked_in_our_words(folder: Path) -> None:
    ours = load_klar(str(folder)).in_our_words()
    held_out = [code for code in ours.languages if code not in klar.KLAR_TRAINED]
    assert held_out == [code for code in LANGUAGES[7:] if code in known()] and {"fa", "he", "ko", "tr"} <= set(held_out)
    # Occupations are no relation of ours, and a city's country is not asked as the capital of something.
    assert all(set(files) == {"capital"} for files in ours.files.values())
    questions = {(q.fact_id, q.language): q for q in questions_of(ours, 1, 42, None, free=True)}
    assert len(questions) == len(ours.languages) * 5
    for code in ours.languages:
        asked, words = questions["capital|1", code], language(code).prompt
        name = "Italy" if code == "en" else f"Italy-{code}"
        assert asked.prompt.startswith(words.free) and asked.prompt.endswith(words.answer) and name in asked.prompt
        assert language(code).question("P36", None, name) in asked.prompt and asked.instruction == words.free
        assert asked.accepted["ko"] == ("Rome-ko",)
    with pytest.raises(ConfigError, match="--prompt free: none of ca, el has a language file"):
        load_klar(str(folder), ("ca", "el")).in_our_words()
    with pytest.raises(ConfigError, match="--prompt 'free' must be one of klar, free; with --rank it is klar"):
        klar.main(model="m", data=str(folder), output=folder / "x.json", prompt="free", rank=True)


def test_contamination_in_any_language_and_turned_round(folder: Path) -> None:
    found = load_klar(str(folder))
    labels = {
        "en": [("P36", "france", "PARIS"), ("P19", "Italy", "Rome")],
        "ja": [("P36", "Austria-ja", "Vienna-ja")],
        "de": [("P36", "Egypt", "Cairo")],
    }
    assert klar.contaminated(found, labels) == {("capital", 0), ("capital", 2)}
    turned = klar.Klar("x", None, {"en": {"capital_of": found.files["en"]["occupation"]}})
    assert klar.contaminated(turned, labels) == {("capital_of", 0)}


@pytest.mark.parametrize(
    ("languages", "template", "message"),
    [
        (("en", "de"), 1, "KLAR is not in de; choose from en, es"),
    ],
)
def test_what_is_not_there(folder: Path, languages: tuple[str, ...], template: int, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        questions_of(load_klar(str(folder), languages), template, 42, None)


def test_the_template_is_taken_modulo_their_number(folder: Path) -> None:
    """Four real files of fa and he hold one template instead of five."""
    file = load_klar(str(folder), ("fa",)).files["fa"]["capital"]
    single = file.model_copy(update={"prompt_templates": file.prompt_templates[:1]})
    assert prompt_of(single, single.samples[0], "capital", 1, 42) == prompt_of(file, file.samples[0], "capital", 0, 42)
    empty = file.model_copy(update={"prompt_templates": ()})
    with pytest.raises(DataError, match="KLAR capital: the file has no template"):
        prompt_of(empty, empty.samples[0], "capital", 1, 42)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("The capital of <subject> is <mask>.", "The capital of Peru is."),
        ("<subject>の首都は<mask>", "Peruの首都は"),
        ("<mask> is the capital of <subject>", "is the capital of Peru"),
        ("<subject> <mask>", "Peru"),
    ],
)
def test_the_blank_before_the_mask_goes_with_it(template: str, expected: str) -> None:
    assert klar.fill(template, "Peru") == expected.rjust(len(expected) + (template[0:6] == "<mask>"))


def test_too_few_samples_and_broken_files(tmp_path: Path) -> None:
    write_klar(tmp_path, ("en",))
    path = tmp_path / "en" / "capital.json"
    content = json.loads(path.read_text())
    content["samples"] = content["samples"][:3]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="KLAR capital: 3 samples are too few for 3 shots"):
        questions_of(load_klar(str(tmp_path), ("en",)), 1, 42, None)
    with pytest.raises(ConfigError, match="no <language>/<relation>.json for ca; has en"):
        load_klar(str(tmp_path), ("en", "ca"))
    path.write_text('{"samples": []}')
    with pytest.raises(DataError, match=r"capital\.json: .*prompt_templates"):
        load_klar(str(tmp_path), ("en",))


def test_the_evaluator_end_to_end(
    folder: Path,
    tiny: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from baselines.evaluate.generate import Generator

    def say(self: Any, prompts: list[list[int]]) -> list[Answer]:
        """Knows Paris everywhere, but says it in English in Dutch, and Lima where Rome is asked for in Turkish."""
        texts = [text.rpartition("\n")[2] for text in self.model.tokenizer.batch_decode(prompts)]
        return [Answer(_answer(text)) for text in texts]

    def _answer(line: str) -> str:
        if "The capital of France" in line:
            return "Paris" if "-nl" in line else line.replace("The capital of France", "Paris").partition(" is")[0]
        return "Lima-tr" if "Italy-tr" in line else ""

    monkeypatch.setattr(Generator, "_batch", say)
    rows = releases.parallel_rows(1)
    rows[0]["translations"]["en"]["subject_label"] = "France"
    train = releases.write(tmp_path / "train", {"parallel": {"train": rows}})
    output = tmp_path / "k.json"
    klar.main(
        model=str(tiny("qwen2")), data=str(folder), output=output, train_data=str(train), device="cpu", quiet=True
    )
    end = f"{output}: klar of {tiny('qwen2').name}, all scores in {tmp_path / 'k.scores.parquet'}\n"
    assert capsys.readouterr().out.endswith(end)
    result = results.load_result(output)
    assert result.data.facts == 10 and result.settings["shots"] == 3 and result.settings["new_tokens"] == 10
    found = result.metrics
    assert found["languages"]["fr"]["exact"] == 0.1 and found["languages"]["nl"]["lenient"] == 0
    assert found["languages"]["nl"]["modes"]["wrong_language"] == 0.1
    assert found["languages"]["tr"]["modes"]["wrong_fact"] == 0.1
    assert found["groups"]["trained"]["lenient"] == pytest.approx(0.1)
    assert found["groups"]["held_out"]["lenient"] == pytest.approx(0.09)
    assert (found["nouns"]["proper"]["items"], found["nouns"]["common"]["items"]) == (85, 85)
    assert found["nouns"]["common"]["lenient"] == 0
    apart = found["contamination"]
    assert apart["contaminated"]["all"]["items"] == 17 and apart["clean"]["all"]["items"] == 153
    assert apart["contaminated"]["trained"]["lenient"] == 1.0 and apart["clean"]["trained"]["lenient"] == 0


def test_the_table_fits_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    header = ("", "items", "lenient", "exact", "wrong language", "wrong fact", "incoherent")
    common.show("base: klar", header, [("contaminated", "54000", *["100.00"] * 5)])
    shown = capsys.readouterr().out
    assert "contaminated" in shown and "language" in shown and "…" not in shown


def test_objects_are_ranked_in_pools_of_their_relation(
    folder: Path, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    output = tmp_path / "r.json"
    options = {"languages": "en,nl", "rank": True, "limit": 4, "device": "cpu", "quiet": True}
    klar.main(model=str(tiny("qwen2")), data=str(folder), output=output, **options)  # type: ignore[arg-type]
    result = results.load_result(output)
    assert result.kind == "klar_ranked" and result.data.facts == 8
    rows = results.load_scores(output, result).to_pylist()
    assert len(rows) == 2 * 4 * 2 * 4  # relations, facts, languages, objects
    dutch = {row["option_id"]: row["name"] for row in rows if row["language"] == "nl" and row["group"] == "capital"}
    assert dutch == {"Paris": "Paris-nl", "Rome": "Rome-nl", "Vienna": "Vienna-nl", "Cairo": "Cairo-nl"}
    assert set(result.metrics["byte"]["groups"]) == {"high", "neither"} and result.metrics["token"]["rankc"] is not None
