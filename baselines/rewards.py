"""The multilingual reward of GRPO (paper, section 3, equations 1 and 2): what an answer is, and what it earns.

    R = sum over languages of r_l + bonus * 1[all languages correct]
    r_l = 1 for the correct option, -0.5 for a hallucination, 0 for an incorrect option

An answer is the first line of a completion that is not blank. It is one of the options when it equals the option's
text in the target language, up to Unicode form, case, width and punctuation; the option's letter and the word for
"Answer:" may precede it (`Answer: B) Rome`). A bare letter is no option. Whatever matches no option is a
hallucination. An empty answer matches none: if it earned 0, it would earn more than a bad answer, and once all rollouts
are empty the gradient stays zero.

The module needs neither torch nor TRL.

All L answers of rollout g share R, so their advantages are equal. `RewardConfig` holds the variations of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal, Protocol, get_args

from pydantic import Field

from baselines.answer_lines import answer_line
from baselines.data import Fact, OpenFact, Rows
from baselines.prompts import LETTERS
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.text.answers import fold
from polyfact_dataset.common.text.normalise import clean, normalise
from polyfact_dataset.config.base import Section

Outcome = Literal["correct", "incorrect", "wrong_language", "empty", "invalid"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_BARE = frozenset(letter.lower() for letter in LETTERS)


class RewardConfig(Section):
    """What answers earn. The defaults are the paper's (equations 1 and 2, table 4)."""

    correct: float = 1.0
    incorrect: float = 0.0
    hallucination: float = -0.5
    bonus: float = Field(default=1.0, ge=0)
    # all: when every language is correct (equation 1); share: times the share of correct languages;
    # agreement: times the share of pairs of languages that name the same entity, right or wrong.
    bonus_shape: Literal["all", "share", "agreement"] = "all"
    # fact: all languages of a rollout share one reward (the paper's); language: each has a separate one (ablation).
    pooling: Literal["fact", "language"] = "fact"
    # r_l becomes (1 - w) * r_l + w * [the answer is identified as the target language] (the RL study used 0.5).
    language_weight: float = Field(default=0.0, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is, and the entity it names, if any."""

    outcome: Outcome
    entity: str | None = None


class Judge(Protocol):
    """Judges the answer to the fact at `row` in a language."""

    def __call__(self, row: int, code: str, answer: str) -> Verdict: ...


# An option's letter before its text: `A. Paris`, `(b) Rome`, `C：ウィーン`.
_LABELLED = re.compile(r"[(（\[]?\s*([A-Da-d])\s*[.):：．）\]、-]\s*(\S.*)", re.DOTALL)


@lru_cache(maxsize=64)
def _announced(code: str) -> re.Pattern[str]:
    """An answer after `Answer:`, in English or in the language of the prompt."""
    words = {"answer", "the answer is"}
    if code in known():
        words.add(language(code).prompt.answer.rstrip(":： "))
    alternatives = "|".join(re.escape(word) for word in sorted(words))
    return re.compile(rf"(?:{alternatives})\s*[:：]\s*(\S.*)", re.DOTALL | re.IGNORECASE)


def _forms(text: str) -> tuple[str, str, str]:
    """The text in NFC without superfluous invisible characters; its width and case folded; its punctuation too."""
    folded = normalise(text)
    return clean(text) or text.strip(), folded, fold(text)


def unannounced(answer: str, code: str) -> str:
    """The answer without a preceding `Answer:`, in English or in the language of the prompt."""
    announced = _announced(code).fullmatch(answer.strip())
    return announced[1] if announced else answer


def resolve(answer: str, options: Sequence[str], code: str = "en") -> int | None:
    """The position of the one option that `answer` states; None when it states none, or cannot tell two apart.

    Exact forms are compared before looser ones, so that `C++` and `C#` stay different options; the whole answer before
    the answer without `Answer:` and without its letter. A letter that is another option's makes the answer invalid.
    """
    position = _match(answer, options)
    if position is not None:
        return position
    answer = unannounced(answer, code)
    position = _match(answer, options)
    labelled = _LABELLED.fullmatch(answer.strip())
    if position is not None or labelled is None:
        return position
    position = _match(labelled[2], options)
    return position if position is not None and LETTERS[position] == labelled[1].upper() else None


def _match(answer: str, options: Sequence[str]) -> int | None:
    """The position of the one option that equals `answer`."""
    for form, text in enumerate(_forms(answer)):
        if not text or (form == 2 and text in _BARE):
            return None
        positions = [position for position, option in enumerate(options) if _forms(option)[form] == text]
        if positions:
            return positions[0] if len(positions) == 1 else None
    return None


def _missed(answer: str, elsewhere: bool) -> Verdict:
    """The verdict on an answer that names nothing in the target language."""
    if not fold(answer):
        return Verdict("empty")
    return Verdict("wrong_language" if elsewhere else "invalid")


class CachedFacts(Sequence[Any]):
    """Rows that keep the facts decoded last: a fact is judged L x G times in a row."""

    def __init__(self, rows: Rows[Any]) -> None:
        self._rows = rows
        self._get = lru_cache(maxsize=64)(rows.__getitem__)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._get(index)


class OptionJudge:
    """Judges against the options of multiple-choice facts in the target language."""

    def __init__(self, facts: Rows[Fact] | Sequence[Fact]) -> None:
        self._facts = facts

    def __call__(self, row: int, code: str, answer: str) -> Verdict:
        items = self._facts[row].items
        item = items[code]
        position = resolve(answer, item.options, code)
        if position is None:
            others = (other.options for name, other in items.items() if name != code)
            return _missed(answer, any(resolve(answer, options, code) is not None for options in others))
        return Verdict("correct" if position == item.answer else "incorrect", item.option_ids[position])


class OpenJudge:
    """Judges free answers: any accepted name of the answer counts, another known entity's name is incorrect.

    `names` are all known names: language code -> entity -> names (see `data.accepted_names`).
    """

    def __init__(
        self, facts: Rows[OpenFact] | Sequence[OpenFact], names: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> None:
        self._facts = facts
        self._entities: dict[str, dict[str, str]] = {}
        for code, entities in names.items():
            known = self._entities.setdefault(code, {})
            for entity, texts in entities.items():
                for name in texts:
                    known.setdefault(_forms(name)[2], entity)

    def __call__(self, row: int, code: str, answer: str) -> Verdict:
        fact = self._facts[row]
        folded = _forms(unannounced(answer, code))[2]
        if folded and folded in {_forms(name)[2] for name in fact.items[code].accepted}:
            return Verdict("correct", fact.object_id)
        entity = self._entities[code].get(folded) if folded else None
        if entity is not None:
            return Verdict("incorrect", entity)
        names = (_forms(name)[2] for other, item in fact.items.items() if other != code for name in item.accepted)
        return _missed(answer, folded in set(names))


def base_reward(outcome: Outcome, config: RewardConfig) -> float:
    """r_l of equation 2."""
    if outcome == "correct":
        return config.correct
    return config.incorrect if outcome == "incorrect" else config.hallucination


def bonus(verdicts: Sequence[Verdict], config: RewardConfig) -> float:
    """The last term of equation 1 for one rollout's L answers, in the configured shape."""
    right = [verdict.outcome == "correct" for verdict in verdicts]
    if config.bonus_shape == "all":
        return config.bonus * all(right)
    if config.bonus_shape == "share":
        return config.bonus * sum(right) / len(right)
    pairs = list(combinations((verdict.entity for verdict in verdicts), 2))
    return config.bonus * sum(a is not None and a == b for a, b in pairs) / max(len(pairs), 1)


def rollout_rewards(
    verdicts: Sequence[Verdict], config: RewardConfig, in_language: Sequence[bool] | None = None
) -> tuple[list[float], list[float]]:
    """One rollout's L answers -> (r_l of each language, the reward each of them is trained on).

    `in_language` says which answers are identified as their target language; needed for `language_weight` alone.
    """
    weight = config.language_weight
    by_language = [base_reward(verdict.outcome, config) for verdict in verdicts]
    if weight:
        if in_language is None:
            raise ValueError("language_weight needs in_language")
        by_language = [
            (1 - weight) * reward + weight * same for reward, same in zip(by_language, in_language, strict=True)
        ]
    extra = bonus(verdicts, config)
    if config.pooling == "fact":
        return by_language, [sum(by_language) + extra] * len(by_language)
    return by_language, [reward + extra for reward in by_language]


def language_checker(codes: Sequence[str]) -> Callable[[str, str], bool]:
    """(answer, code) -> whether lingua takes the answer for that language; short names make it unsure."""
    from polyfact_dataset.common.text.language_id import identifier_of

    identifier = identifier_of(tuple(codes))
    missing = [code for code in codes if code not in identifier.codes]
    if missing:
        raise ConfigError(f"language_weight: lingua does not know {', '.join(missing)}; set it to 0")
    return lambda answer, code: bool(answer) and identifier.identify([answer])[0] == code


@dataclass(frozen=True)
class Judged:
    """One completion with its verdict, as samples show it. `rollout` counts the copies of a prompt.

    `language_reward` is r_l, `reward` what the rollout is trained on, `tokens` the length of the completion.
    """

    row: int
    language: str
    rollout: int
    completion: str
    answer: str
    verdict: Verdict
    language_reward: float
    reward: float
    tokens: int | None = None


class FactReward:
    """The reward function that TRL calls with the completions of whole facts.

    Rows come as the sampler yields them: per fact its languages, per language its G rollouts. `observer` sees all
    judged completions of a call. Raises `DataError` when a fact's languages are not together.
    """

    __name__ = "fact"  # TRL logs the reward under it

    def __init__(
        self,
        judge: Judge,
        languages: Sequence[str],
        generations: int,
        config: RewardConfig,
        observer: Callable[[list[Judged], int], None] | None = None,
    ) -> None:
        self.languages = tuple(languages)
        self.generations = generations
        self.config = config
        self._judge = judge
        self._observer = observer
        self._speaks = language_checker(self.languages) if config.language_weight else None

    def __call__(
        self, completions: Sequence[str], row: Sequence[int], language: Sequence[str], **context: Any
    ) -> list[float]:
        block = len(self.languages) * self.generations
        ids = context.get("completion_ids") or [None] * len(completions)
        batch: list[Judged] = []
        for start in range(0, len(completions), block):
            part = slice(start, start + block)
            self._check(row[part], language[part])
            batch += self._block(row[start], completions[part], ids[part])
        if "log_metric" in context:
            for name, value in shares(batch).items():
                context["log_metric"](name, value)
        if self._observer is not None:
            self._observer(batch, getattr(context.get("trainer_state"), "global_step", 0))
        return [judged.reward for judged in batch]

    def _check(self, rows: Sequence[int], languages: Sequence[str]) -> None:
        wanted = [code for code in self.languages for _ in range(self.generations)]
        if list(languages) != wanted or len(set(rows)) != 1:
            raise DataError(
                f"the languages of fact {rows[0]} are scattered over batches, so its rewards cannot be pooled: "
                "use baselines.sampler.FactSampler and whole facts per process"
            )

    def _block(self, row: int, completions: Sequence[str], ids: Sequence[Sequence[int] | None]) -> list[Judged]:
        """The judged completions of one fact, in their order."""
        answers = [answer_line(completion) for completion in completions]
        size = self.generations
        result: dict[int, Judged] = {}
        for rollout in range(size):
            places = range(rollout, len(answers), size)
            verdicts = [self._judge(row, code, answers[p]) for code, p in zip(self.languages, places)]
            speaks = self._speaks
            same = [speaks(answers[p], code) for code, p in zip(self.languages, places)] if speaks else None
            by_language, rewards = rollout_rewards(verdicts, self.config, same)
            for position, code, verdict, r, reward in zip(places, self.languages, verdicts, by_language, rewards):
                tokens = ids[position]
                result[position] = Judged(
                    *(row, code, rollout, completions[position], answers[position], verdict, r, reward),
                    tokens=None if tokens is None else len(tokens),
                )
        return [result[position] for position in range(len(answers))]


def shares(batch: Sequence[Judged]) -> dict[str, float]:
    """Logged metrics of a batch: mean r_l by language, shares of outcomes, of rollouts correct in all languages."""
    by_language: dict[str, list[float]] = defaultdict(list)
    rollouts: dict[tuple[int, int], bool] = {}
    for judged in batch:
        by_language[judged.language].append(judged.language_reward)
        key = (judged.row, judged.rollout)
        rollouts[key] = rollouts.get(key, True) and judged.verdict.outcome == "correct"
    metrics = {f"reward_by_language/{code}": sum(values) / len(values) for code, values in by_language.items()}
    outcomes = [judged.verdict.outcome for judged in batch]
    metrics |= {f"share/{name}": outcomes.count(name) / len(outcomes) for name in OUTCOMES}
    hallucinated = sum(name not in ("correct", "incorrect") for name in outcomes)
    metrics["share/hallucination"] = hallucinated / len(outcomes)
    metrics["share/all_languages_correct"] = sum(rollouts.values()) / len(rollouts)
    return metrics
