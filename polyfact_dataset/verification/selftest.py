"""The self-test of a judge: the share of planted defects that it finds, and of correct items to which it objects."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.items.evidence import item_digest
from polyfact_dataset.verification.items import Item, JudgedFact, LocalQuestion
from polyfact_dataset.verification.judging import FactTask, ItemTask, JudgeOutcome
from polyfact_dataset.verification.rubric import PROBLEMS

PATH = Path(__file__).parent / "selftest.toml"
SOUND = "sound"


class _Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    language: str
    question: str
    options: tuple[str, str, str, str]
    marked: int = Field(ge=0, le=3)
    defect: str


class _Planted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    problem: str = Field(pattern=f"^({'|'.join(PROBLEMS)})$")
    question: str


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid")
    property: str
    relation: str
    subject: dict[str, str]
    answer: dict[str, str]
    planted: dict[str, _Planted]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[_Item]
    facts: list[_Fact]


def _read() -> _File:
    try:
        return _File.model_validate(tomllib.loads(PATH.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{PATH.name}: {error}") from error


@dataclass(frozen=True)
class Planted:
    """The tasks of a self-test by name, and the defect planted in each by language, `sound` where there is none.

    An item has one language, a fact all of them.
    """

    tasks: Mapping[str, ItemTask | FactTask]
    defects: Mapping[str, Mapping[str, str]]


def planted_items() -> Planted:
    """Single items."""
    tasks, defects = {}, {}
    for number, entry in enumerate(_read().items, start=1):
        name, answer = f"selftest {number}", entry.options[entry.marked]
        digest = item_digest(entry.question, answer, entry.options)
        item = Item(name, entry.language, digest, "", entry.question, entry.options, entry.marked)
        tasks[name] = ItemTask(item)
        defects[name] = {entry.language: entry.defect or SOUND}
    return Planted(tasks, defects)


def planted_facts(languages: Sequence[str]) -> Planted:
    """Facts in those of `languages` that the file has; the correct questions are from the templates."""
    tasks, defects = {}, {}
    for number, entry in enumerate(_read().facts, start=1):
        name, questions, planted_in = f"selftest {number}", [], {}
        for code in (code for code in languages if code in entry.subject):
            planted = entry.planted.get(code)
            sound = language(code).question(entry.property, None, entry.subject[code])
            question = planted.question if planted else sound
            questions.append(LocalQuestion(code, "", question, entry.subject[code], entry.answer[code]))
            planted_in[code] = planted.problem if planted else SOUND
        fact = JudgedFact(
            name, entry.property, entry.subject["en"], entry.relation, entry.answer["en"], tuple(questions)
        )
        tasks[name], defects[name] = FactTask(fact), planted_in
    return Planted(tasks, defects)


@dataclass
class Score:
    """The judgements of planted defects: by defect (`sound` included) the numbers judged, objected to and unjudged."""

    judged: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)
    unjudged: dict[str, int] = field(default_factory=dict)

    def note(self, defect: str, objected: bool | None) -> None:
        """Counts one judgement, None for a task without one."""
        for counter, hit in ((self.judged, objected is not None), (self.flagged, objected), (self.unjudged, False)):
            counter[defect] = counter.get(defect, 0) + bool(hit)
        self.unjudged[defect] += objected is None

    @property
    def recall(self) -> float:
        """The share of the planted defects that were found; one without a judgement counts as missed."""
        defects = [name for name in self.judged if name != SOUND]
        planted = sum(self.judged[name] + self.unjudged[name] for name in defects)
        return sum(self.flagged[name] for name in defects) / planted if planted else 0.0

    @property
    def false_alarms(self) -> float:
        """The share of the correct items that were objected to or not judged."""
        sound = self.judged.get(SOUND, 0) + self.unjudged.get(SOUND, 0)
        return (self.flagged.get(SOUND, 0) + self.unjudged.get(SOUND, 0)) / sound if sound else 0.0

    def as_json(self) -> dict[str, Any]:
        """The score as stored with the judge's table."""
        by_defect = {
            name: {"planted": self.judged[name] + self.unjudged[name], "objected": self.flagged[name]}
            for name in self.judged
        }
        return {"recall": self.recall, "false_alarms": self.false_alarms, "by_defect": by_defect}


def score(planted: Planted, outcomes: Mapping[str, JudgeOutcome]) -> Score:
    """Scores the outcomes. In a fact, another problem than the planted one also counts as found."""
    result = Score()
    for name, defects in planted.defects.items():
        outcome = outcomes.get(name)
        finding = outcome.finding if outcome else None
        for code, defect in defects.items():
            if finding is None:
                result.note(defect, None)
            elif isinstance(planted.tasks[name], ItemTask):
                result.note(defect, finding.label != "correct")
            else:
                result.note(defect, bool(finding.problems[code]))
    return result
