"""One fact and a model: what is asked when, and what comes of every answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.llm.protocol import Answer, Request
from polyfact_dataset.questions.generation import FactInput, FactOutcome, QuestionGenerator
from tests.support.llm_facts import HOSTILE, fact_input
from tests.support.llm_server import content, question
from tests.support.planted import labels


def asking(objections: Mapping[str, frozenset[str]] | None = None, **settings: object) -> QuestionGenerator:
    options = {f"questions__{name}": value for name, value in settings.items()}
    return QuestionGenerator(load_config(questions__source="model", questions__model="m", **options), objections or {})


def code_of(request: Request) -> str:
    record = json.loads(request.body["messages"][1]["content"])
    names = {"Chinese": "zh", "English": "en", "German": "de", "Swahili": "sw", "Bengali": "bn", "French": "fr"}
    return names.get(record["language"].split()[0], "other")


def record_of(request: Request) -> dict[str, str]:
    return json.loads(request.body["messages"][1]["content"])


Fault = Callable[[Request], str | None]


def play(
    asked: QuestionGenerator, fact: FactInput, fault: Fault = lambda request: None
) -> tuple[FactOutcome, list[list[Request]]]:
    """Answers everything that is asked; what came of it, and the requests in their steps."""
    answers: dict[str, Answer] = {}
    steps: list[list[Request]] = []
    while not isinstance(step := asked.advance(fact, lambda request: answers.get(request.key)), FactOutcome):
        assert step and not any(request.key in answers for request in step), "nothing is asked twice"
        steps.append(step)
        for request in step:
            answers[request.key] = Answer(content(dict(request.body), fault(request)), "stop", 100, 10, "m-1")
    return step, steps


def test_twelve_questions_in_one_step() -> None:
    outcome, steps = play(asking(), fact_input())
    assert outcome.reason is None and [len(step) for step in steps] == [12]
    assert set(outcome.questions) == set(PAPER_LANGUAGES) == set(outcome.sources)
    assert set(outcome.sources.values()) == {"model:m"}
    assert outcome.used == {"question": 12} and outcome.tokens == {"prompt": 1200, "completion": 120}
    assert outcome.resolved == {"exact": 12} and outcome.served == {"m-1": 12} and not outcome.failed


def test_a_question_is_asked_from_the_fact_alone() -> None:
    about = {"en": ("small country with capital Sylvania", "country"), "de": ("Land",)}
    _, ((english, german, *_),) = play(asking(), fact_input(about=about))
    record = record_of(english)
    assert record["language"] == "English (English)" and record["subject"] == "Freedonia"
    assert record["subject_is"] == "country", "a note that mentions the answer is not passed on"
    assert record_of(german)["subject_is"] == "Land"
    assert record["relation"] == "capital" and "X" in record["asks"] and record["values"] == "one"
    assert record["answer"] == "Sylvania"
    assert set(record) == {"language", "subject", "subject_is", "relation", "asks", "values", "answer"}


def test_one_retry_with_the_next_seed_and_no_more() -> None:
    outcome, steps = play(
        asking(), fact_input(), lambda r: "not_json" if code_of(r) == "sw" and r.body["seed"] == 42 else None
    )
    assert [len(step) for step in steps] == [12, 1] and steps[1][0].body["seed"] == 43
    assert outcome.reason is None and outcome.failed == {"question:not_json": 1} and outcome.used == {"question": 13}
    outcome, steps = play(asking(), fact_input(), lambda r: "leak" if code_of(r) == "sw" else None)
    assert [len(step) for step in steps] == [12, 1]
    assert outcome.reason == "model_gold_in_question:sw" and outcome.questions == {}
    assert outcome.failed == {"question:gold_in_question": 2} and outcome.tokens["prompt"] == 1300


def test_a_rejected_request_is_not_tried_with_another_seed() -> None:
    def lookup(request: Request) -> Answer:
        if code_of(request) == "bn":
            return Answer("too long", "rejected", status=400)
        return Answer(content(dict(request.body), None), "stop")

    outcome = asking().advance(fact_input(), lookup)
    assert isinstance(outcome, FactOutcome) and outcome.reason == "model_rejected:bn" and outcome.used["question"] == 12


def test_a_language_may_fall_back_to_its_template() -> None:
    outcome, _ = play(asking(fallback="template"), fact_input(), lambda r: "empty" if code_of(r) == "sw" else None)
    assert outcome.reason is None and outcome.sources["sw"] == "template" and outcome.sources["de"] == "model:m"
    assert outcome.questions["sw"] == question(
        {"language": "Swahili (x)", "relation": "capital", "subject": "Freedonia"}
    )
    assert outcome.failed == {"question:empty_question": 2}


def test_languages_that_are_objected_to_take_the_template_and_are_not_asked() -> None:
    outcome, steps = play(asking({"Q1|P36|Q2": frozenset({"de", "fr"})}), fact_input())
    assert [len(step) for step in steps] == [10]
    assert {code for code, source in outcome.sources.items() if source == "template"} == {"de", "fr"}
    outcome, steps = play(asking({"Q1|P36|Q2": frozenset()}), fact_input())
    assert steps == [] and set(outcome.sources.values()) == {"template"}


def test_english_first_then_translations_with_fixed_names() -> None:
    asked = asking(mode="english_first")
    outcome, steps = play(asked, fact_input())
    assert [len(step) for step in steps] == [1, 11] and outcome.reason is None
    assert outcome.used == {"question": 1, "translate": 11}
    record = next(record_of(r) for r in steps[1] if code_of(r) == "bn")
    assert record["english"] == outcome.questions["en"] and record["english_subject"] == "Freedonia"
    assert record["english_answer"] == "Sylvania" and record["subject"] == fact_input().subject["bn"]
    assert set(record) == {"language", "english", "english_subject", "english_answer", "subject", "answer"}


def test_english_first_asks_nothing_else_when_english_fails() -> None:
    outcome, steps = play(asking(mode="english_first"), fact_input(), lambda r: "empty" if code_of(r) == "en" else None)
    assert [len(step) for step in steps] == [1, 1] and outcome.reason == "model_empty_question:en"
    fallen = asking(mode="english_first", fallback="template")
    outcome, steps = play(fallen, fact_input(), lambda r: "empty" if code_of(r) == "en" else None)
    assert [len(step) for step in steps] == [1, 1, 11] and outcome.sources["en"] == "template"


def without(name: str, *codes: str) -> dict[str, str | None]:
    return {**labels(name), **dict.fromkeys(codes)}


def test_missing_labels_come_first() -> None:
    outcome, steps = play(
        asking(), fact_input(subject=without("Freedonia", "sw", "bn"), answer=without("Sylvania", "sw"))
    )
    assert [len(step) for step in steps] == [3, 12] and outcome.reason is None
    assert outcome.labels == {("Q1", "bn"): "Freedonia", ("Q1", "sw"): "Freedonia", ("Q2", "sw"): "Sylvania"}
    assert outcome.used == {"label": 3, "question": 12}
    record = record_of(steps[0][0])
    assert record["name"] == "Freedonia" and record["name_language"] == "English" and record["relation"] == "capital"
    swahili = next(record_of(r) for r in steps[1] if code_of(r) == "sw")
    assert (swahili["subject"], swahili["answer"]) == ("Freedonia", "Sylvania")


def test_a_label_is_asked_once_for_an_entity_and_language_and_not_by_its_string() -> None:
    asked, one = asking(), fact_input(subject=without("Horn", "sw"))
    elsewhere = fact_input(fact_id="Q9|P17|Q1", subject_id="Q9", property_id="P17", object_id="Q1", answer=one.subject)
    namesake = fact_input(subject_id="Q77", subject=without("Horn", "sw"))
    town = asked.label_request(one, "subject", "sw")
    assert town.key == asked.label_request(elsewhere, "object", "sw").key
    assert town.key != asked.label_request(namesake, "subject", "sw").key
    assert town.key != asked.label_request(one, "subject", "bn").key
    assert town.body["temperature"] == 0.0 and town.body["max_tokens"] == 32
    other_model = QuestionGenerator(load_config(questions__source="model", questions__model="n", seed=7), {})
    other_seed = QuestionGenerator(load_config(questions__source="model", questions__model="m", seed=7), {})
    assert town.key != other_model.label_request(one, "subject", "sw").key
    assert town.key == other_seed.label_request(one, "subject", "sw").key


def test_a_label_that_cannot_be_had_drops_the_fact_before_its_questions() -> None:
    outcome, steps = play(asking(), fact_input(answer=without("Sylvania", "bn")), lambda request: "script")
    assert [len(step) for step in steps] == [1]
    assert outcome.reason == "object_untranslated:bn" and outcome.failed == {"label:unusable_name": 1}


def test_names_that_give_the_answer_away_drop_the_fact_before_its_questions() -> None:
    outcome, steps = play(asking(), fact_input(subject=without("New Sylvania", "sw")))
    assert [len(step) for step in steps] == [1] and outcome.reason == "gold_in_question:en"


def test_a_question_that_is_another_languages_word_for_word_is_a_failure() -> None:
    def lookup(request: Request) -> Answer:
        record = record_of(request)
        code = code_of(request)
        text = f"{record['subject']}?" if code in ("de", "fr") else question(record)
        return Answer(json.dumps({"question": text, "answer_text": record["answer"]}), "stop")

    outcome = asking().advance(fact_input(), lookup)
    assert isinstance(outcome, FactOutcome) and outcome.reason == "model_same_as_de:fr"
    outcome = asking(fallback="template").advance(fact_input(), lookup)
    assert (
        isinstance(outcome, FactOutcome) and outcome.sources["fr"] == "template" and outcome.sources["de"] == "model:m"
    )


def test_namesakes_are_asked_with_what_tells_them_apart() -> None:
    told = {code: f"{name} isle" for code, name in labels("large").items()}
    outcome, (step,) = play(asking(), fact_input(descriptions=told))
    assert outcome.reason is None
    english = record_of(step[0])
    assert english["subject"] == "Freedonia (large isle)" and "Freedonia (large isle)" in outcome.questions["en"]


REFUSED = ("model_wrong_language", "model_same_as_en", "model_unusable_question", "gold_in_question")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_nothing_that_is_asked_or_parsed(name: str) -> None:
    name = " ".join(name.split())
    plain, hostile = (
        play(asking(), fact_input()),
        play(asking(), fact_input(subject=dict.fromkeys(PAPER_LANGUAGES, name))),
    )
    for one, other in zip(plain[1][0], hostile[1][0]):
        mild, wild = record_of(one), record_of(other)
        assert wild.pop("subject") == name and mild.pop("subject") and mild == wild
        assert one.body["messages"][0] == other.body["messages"][0] and len(other.body["messages"]) == 2
        assert {**one.body, "messages": 0} == {**other.body, "messages": 0}
    outcome = hostile[0]
    if outcome.reason is None:
        assert all(text.count(name) == 1 for text in outcome.questions.values())
    else:
        assert outcome.reason.partition(":")[0] in REFUSED


def test_without_a_seed_a_retry_is_still_another_request() -> None:
    config = load_config(questions__source="model", questions__model="m", llm__seed=False)
    generator = QuestionGenerator(config, {})
    outcome, steps = play(generator, fact_input(), lambda request: "not_json" if code_of(request) == "sw" else None)
    assert [len(step) for step in steps] == [12, 1] and outcome.reason == "model_not_json:sw"
    assert not any("seed" in request.body for step in steps for request in step)
    assert steps[1][0].attempt == 1 and steps[1][0].body in [request.body for request in steps[0]]
    seeded, _ = play(asking(), fact_input())
    assert seeded.used == {"question": 12}


def test_the_keys_of_earlier_caches_stay() -> None:
    """With a seed and the prompts' parameters, a request is what it was before these could be set."""
    request = asking().advance(fact_input(), lambda request: None)[0]
    assert set(request.body) == {"model", "messages", "temperature", "top_p", "max_tokens", "seed", "response_format"}
    assert request.attempt == 0 and request.body["seed"] == 42
    assert request.key == "ec03174dea5cdce91d72a20a330102855561e5e89d1317f8daf4c44d82f7f6c9"


def test_seed_and_role_are_part_of_a_builds_identity_where_they_are_set() -> None:
    plain = load_config(questions__source="model", questions__model="m").identity()
    assert "llm" not in plain and not {"parameters", "system_role"} & plain["questions"].keys()
    options = {"questions__parameters": {"top_k": 5}, "questions__system_role": "none", "llm__seed": False}
    changed = load_config(questions__source="model", questions__model="m", **options)
    assert changed.identity()["llm"] == {"seed": False} and changed.identity()["questions"]["parameters"] == {
        "top_k": 5
    }
    again = Config.model_validate(changed.identity())
    assert (again.llm.seed, again.questions.system_role) == (False, "none") and again.identity() == changed.identity()
    assert QuestionGenerator(again, {}).prompts["label"].parameters == {"top_k": 5}
