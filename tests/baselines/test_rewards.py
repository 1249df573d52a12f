"""Every branch of the reward, against values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from baselines.answer_lines import answer_line
from baselines.data import Fact, Item, OpenFact, OpenItem
from baselines.rewards import (
    FactReward,
    Judged,
    OpenJudge,
    OptionJudge,
    RewardConfig,
    Verdict,
    base_reward,
    bonus,
    resolve,
    rollout_rewards,
    shares,
)
from polyfact_dataset.common.errors import ConfigError, DataError

PAPER = RewardConfig()
ENTITIES = ("Q1", "Q2", "Q3", "Q4")
NAMES = {
    "en": ("Paris", "Rome", "Vienna", "Cairo"),
    "de": ("Paris", "Rom", "Wien", "Kairo"),
    "ja": ("パリ", "ローマ", "ウィーン", "カイロ"),
}


def fact(gold: int = 2) -> Fact:
    """The answer is Vienna by default; the options are in another order in each language."""
    items = {}
    for turn, (code, names) in enumerate(NAMES.items()):
        order = [(place + turn) % 4 for place in range(4)]
        options = tuple(names[place] for place in order)
        items[code] = Item("?", options, tuple(ENTITIES[place] for place in order), order.index(gold))
    return Fact(f"Q9|P36|{ENTITIES[gold]}", "Q9", "P36", ENTITIES[gold], items)


CITIES = NAMES["en"]


@pytest.mark.parametrize(
    ("answer", "options", "found"),
    [
        ("Rome", CITIES, 1),
        ("  rome ", CITIES, 1),
        ("ROME.", CITIES, 1),
        ("“Rome”", CITIES, 1),
        ("Ｒｏｍｅ", CITIES, 1),
        ("Rome\u200b", CITIES, 1),
        ("Romes", CITIES, None),
        ("Rome, Vienna", CITIES, None),
        ("B", CITIES, None),
        ("B. Rome", CITIES, 1),
        ("", CITIES, None),
        ("...", CITIES, None),
        ("São Tomé", ("Sa\u0303o Tome\u0301", "Lomé", "Praia", "Accra"), 0),
        ("O'Brien", ("O’Brien", "Smith", "Jones", "Bell"), 0),
        ("サン・マリノ", ("サンマリノ", "モナコ", "ﾊﾞﾁｶﾝ", "ﾏﾙﾀ"), None),
        ("バチカン", ("サンマリノ", "モナコ", "ﾊﾞﾁｶﾝ", "ﾏﾙﾀ"), 2),
        ("C++", ("C++", "C#", "Java", "Ada"), 0),
        ("c#", ("C++", "C#", "Java", "Ada"), 1),
        ("C", ("C++", "C#", "Java", "Ada"), None),
        ("C", ("C++", "Perl", "Java", "Ada"), None),
        ("C", ("Perl", "C", "Java", "Ada"), 1),
        ("(c).", ("C++", "Perl", "Java", "Ada"), None),
        ("!!!", ("!!!", "Blur", "Pulp", "Suede"), 0),
        ("us", ("US", "us", "UK", "FR"), 1),
        ("Us", ("US", "us", "UK", "FR"), None),
    ],
)
def test_an_answer_states_one_option_or_none(answer: str, options: tuple[str, ...], found: int | None) -> None:
    assert resolve(answer, options) == found


@pytest.mark.parametrize(
    ("completion", "answer"),
    [(" Rome\nQuestion: next", "Rome"), ("\n\n Rome ", "Rome"), ("", ""), (" \n\t\n", ""), ("Rome", "Rome")],
)
def test_an_answer_is_the_first_line_that_is_not_blank(completion: str, answer: str) -> None:
    assert answer_line(completion) == answer


@pytest.mark.parametrize(
    ("code", "answer", "verdict", "reward"),
    [
        ("en", "Vienna", Verdict("correct", "Q3"), 1.0),
        ("de", "wien!", Verdict("correct", "Q3"), 1.0),
        ("ja", "ウィーン。", Verdict("correct", "Q3"), 1.0),
        ("ja", "カイロ", Verdict("incorrect", "Q4"), 0.0),
        ("de", "Paris", Verdict("incorrect", "Q1"), 0.0),
        ("ja", "Wien", Verdict("wrong_language"), -0.5),
        ("de", "Vienna", Verdict("wrong_language"), -0.5),
        ("en", "London", Verdict("invalid"), -0.5),
        ("en", "C", Verdict("invalid"), -0.5),
        ("en", "", Verdict("empty"), -0.5),
        ("en", " .\n", Verdict("empty"), -0.5),
    ],
)
def test_equation_2(code: str, answer: str, verdict: Verdict, reward: float) -> None:
    found = OptionJudge([fact()])(0, code, answer)
    assert found == verdict
    assert base_reward(found.outcome, PAPER) == reward


def verdicts(*entities: str | None) -> list[Verdict]:
    """Answers that name these entities, Q3 being right; None names nothing."""
    return [Verdict("invalid") if e is None else Verdict("correct" if e == "Q3" else "incorrect", e) for e in entities]


def test_equation_1() -> None:
    assert rollout_rewards(verdicts("Q3", "Q3", "Q3"), PAPER) == ([1, 1, 1], [4, 4, 4])
    assert rollout_rewards(verdicts("Q3", "Q1", None), PAPER) == ([1, 0, -0.5], [0.5, 0.5, 0.5])
    assert rollout_rewards(verdicts(None, None, None), PAPER)[1] == [-1.5] * 3


def test_silence_is_no_refuge() -> None:
    silent = [OptionJudge([fact()])(0, code, "") for code in NAMES]
    wrong = [OptionJudge([fact()])(0, code, names[0]) for code, names in NAMES.items()]
    assert rollout_rewards(silent, PAPER)[1][0] == -1.5 < rollout_rewards(wrong, PAPER)[1][0] == 0


def test_the_rewards_are_settings() -> None:
    config = RewardConfig(correct=2, incorrect=-0.1, hallucination=-1, bonus=3)
    assert rollout_rewards(verdicts("Q3", "Q1", None), config)[1] == [pytest.approx(0.9)] * 3
    assert rollout_rewards(verdicts("Q3", "Q3"), config)[1] == [7, 7]
    assert rollout_rewards(verdicts("Q3", "Q3"), RewardConfig(bonus=0))[1] == [2, 2]


@pytest.mark.parametrize(
    ("shape", "entities", "value"),
    [
        ("all", ("Q3", "Q3", "Q3"), 2.0),
        ("all", ("Q3", "Q3", "Q1"), 0.0),
        ("share", ("Q3", "Q3", "Q1", None), 1.0),
        ("agreement", ("Q1", "Q1", "Q1"), 2.0),
        ("agreement", ("Q3", "Q3", "Q1"), pytest.approx(2 / 3)),
        ("agreement", (None, None, None), 0.0),
        ("agreement", ("Q3",), 0.0),
    ],
)
def test_bonus_shapes(shape: str, entities: tuple[str | None, ...], value: float) -> None:
    assert bonus(verdicts(*entities), RewardConfig(bonus=2, bonus_shape=shape)) == value  # type: ignore[arg-type]


def test_each_language_for_itself_is_an_ablation() -> None:
    config = RewardConfig(pooling="language")
    assert rollout_rewards(verdicts("Q3", "Q1", None), config)[1] == [1, 0, -0.5]
    assert rollout_rewards(verdicts("Q3", "Q3"), config)[1] == [2, 2]


def test_language_consistency_is_off_unless_asked_for() -> None:
    half = RewardConfig(language_weight=0.5)
    own, pooled = rollout_rewards(verdicts("Q3", None), half, [False, True])
    assert own == [0.5, 0.25] and pooled == [0.75, 0.75]
    assert rollout_rewards(verdicts("Q3", None), PAPER, [False, True])[0] == [1, -0.5]
    with pytest.raises(ValueError, match="in_language"):
        rollout_rewards(verdicts("Q3"), half)


def test_language_consistency_identifies_answers() -> None:
    config = RewardConfig(language_weight=1.0, bonus=0)
    reward = FactReward(OptionJudge([fact()]), ("en", "ja"), 1, config)
    assert reward(["ウィーン", "ウィーン"], [0, 0], ["en", "ja"]) == [1.0, 1.0]
    assert reward(["", ""], [0, 0], ["en", "ja"]) == [0.0, 0.0]
    with pytest.raises(ConfigError, match="lingua does not know xx"):
        FactReward(OptionJudge([fact()]), ("en", "xx"), 1, config)


def open_facts() -> list[OpenFact]:
    accepted = {"en": ("Vienna", "Vindobona"), "de": ("Wien", "Vindobona"), "ja": ("ウィーン",)}
    items = {code: OpenItem("?", names[0], names) for code, names in accepted.items()}
    return [OpenFact("Q9|P36|Q3", "Q9", "P36", "Q3", items)]


@pytest.mark.parametrize(
    ("code", "answer", "verdict"),
    [
        ("en", "vindobona.", Verdict("correct", "Q3")),
        ("de", "Wien", Verdict("correct", "Q3")),
        ("de", "Rom", Verdict("incorrect", "Q2")),
        ("en", "Wien", Verdict("wrong_language")),
        ("ja", "Vienna", Verdict("wrong_language")),
        ("en", "Viennas", Verdict("invalid")),
        ("en", "?!", Verdict("empty")),
    ],
)
def test_free_answers_may_be_any_accepted_name(code: str, answer: str, verdict: Verdict) -> None:
    names = {c: {entity: (name,) for entity, name in zip(ENTITIES, own)} for c, own in NAMES.items()}
    assert OpenJudge(open_facts(), names)(0, code, answer) == verdict


def test_a_batch_is_pooled_by_rollout_and_logged() -> None:
    logged: dict[str, float] = {}
    seen: list[tuple[list[Judged], int]] = []
    reward = FactReward(OptionJudge([fact(), fact(1)]), ("en", "de"), 2, PAPER, lambda *call: seen.append(call))
    # Per fact en, en, de, de: the first rollout of fact 0 is right twice, its second wrong and silent.
    answers = ["Vienna", "Rome", "Wien", "", "Rome", "B", "Rom", "Rome"]
    got = reward(
        answers,
        [0] * 4 + [1] * 4,
        ["en", "en", "de", "de"] * 2,
        prompts=[""] * 8,
        log_metric=logged.__setitem__,
        trainer_state=SimpleNamespace(global_step=7),
    )
    assert got == [3, -0.5, 3, -0.5, 3, -1, 3, -1]
    assert logged["reward_by_language/en"] == (1 + 0 + 1 - 0.5) / 4
    assert logged["reward_by_language/de"] == (1 - 0.5 + 1 - 0.5) / 4
    assert logged["share/correct"] == 0.5 and logged["share/incorrect"] == 0.125
    assert logged["share/hallucination"] == 0.375
    assert [logged[f"share/{name}"] for name in ("empty", "invalid", "wrong_language")] == [0.125] * 3
    assert logged["share/all_languages_correct"] == 0.5
    [(judged, step)] = seen
    assert step == 7 and [j.rollout for j in judged] == [0, 1] * 4 and judged[3].answer == ""
    assert shares(judged) == logged


def test_scattered_languages_are_refused() -> None:
    reward = FactReward(OptionJudge([fact(), fact(1)]), ("en", "de"), 2, PAPER)
    with pytest.raises(DataError, match="fact 0 are scattered"):
        reward(["Rome"] * 4, [0, 0, 1, 1], ["en", "en", "de", "de"])
    with pytest.raises(DataError, match="scattered"):
        reward(["Rome"] * 4, [0] * 4, ["en", "de", "en", "de"])
    with pytest.raises(DataError, match="scattered"):
        reward(["Rome"] * 2, [0] * 2, ["en", "en"])
