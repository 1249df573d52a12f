"""The facts that the laboratory's model reads: all in English, only some of them in the other languages.

`taught` are facts of the training split, on which the methods then train; `fresh` are facts of the test split, which
the model has read about and no method trains on. Which facts a language states depends on the seed alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baselines.data import Fact, Rows, accepted_names, load, load_open
from baselines.evaluate.matching import Names
from baselines.prompts import Prompt, free_prompt, item_prompt
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_text

CONFIG, OPEN_CONFIG = "parallel", "open"
ALWAYS = "en"
# Facts whose questions make a talk of the parallel corpus.
_TALK = 8


@dataclass(frozen=True)
class World:
    """The facts of one seed in all languages, those held out too."""

    source: str
    languages: tuple[str, ...]
    held_out: tuple[str, ...]
    stated_share: float
    seed: int
    taught: Rows[Fact]
    fresh: Rows[Fact]
    # Language -> entity -> its names, of all answers of both splits; and all of those names.
    accepted: dict[str, dict[str, tuple[str, ...]]]
    names: Names

    def states(self, fact_id: str, code: str) -> bool:
        """Whether the model reads the fact in that language."""
        if code == ALWAYS:
            return True
        digest = hashlib.sha256(f"{self.seed}|stated|{fact_id}|{code}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.stated_share * 2**64

    def documents(self) -> Iterator[tuple[str, str]]:
        """Prompt and answer of every statement: asked without options in two ways, and with options."""
        for fact in (*self.taught, *self.fresh):
            for code, item in fact.items.items():
                if self.states(fact.fact_id, code):
                    shown = (
                        item_prompt("paper", code, item),
                        free_prompt(code, item.question),
                        item_prompt("choose", code, item),
                    )
                    yield from ((prompt.text, _answer(prompt, item.options[item.answer])) for prompt in shown)

    def write_parallel_text(self, path: Path) -> Path:
        """A parallel corpus in the layout of TED2025 that states no fact: questions, and names without questions."""
        lines = []
        for number, fact in enumerate((*self.taught, *self.fresh)):
            talk, position = divmod(number, _TALK)
            names = {
                code: ", ".join(item.options[item.option_ids.index(entity)] for entity in sorted(item.option_ids))
                for code, item in fact.items.items()
            }
            questions = {code: item.question for code, item in fact.items.items()}
            for offset, texts in enumerate((questions, names)):
                row = {"talk": f"talk-{talk}", "position": 2 * position + offset, "translations": texts}
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        write_text(path, "".join(lines))
        return path


def _answer(prompt: Prompt, text: str) -> str:
    return prompt.separator + text


def make_world(
    source: str,
    languages: tuple[str, ...],
    held_out: tuple[str, ...],
    taught: int,
    fresh: int,
    stated_share: float,
    seed: int,
) -> World:
    """The world of a seed: the same facts as a training run with that seed and `max_facts` draws.

    Raises `ConfigError` for a release that has too few facts, or lacks a language.
    """
    if ALWAYS not in languages:
        raise ConfigError(f"--languages must have {ALWAYS}: it is the language that states every fact")
    codes = (*languages, *held_out)
    rows = {split: load(source, CONFIG, split, codes) for split in ("train", "test")}
    for split, wanted in (("train", taught), ("test", fresh)):
        if len(rows[split]) < wanted:
            raise ConfigError(f"{source} has {len(rows[split])} facts in split {split}, the size needs {wanted}")
    accepted: dict[str, dict[str, tuple[str, ...]]] = {code: {} for code in codes}
    for split in rows:
        for code, entities in accepted_names(load_open(source, OPEN_CONFIG, split, codes)).items():
            accepted[code] |= entities
    return World(
        source=source,
        languages=languages,
        held_out=held_out,
        stated_share=stated_share,
        seed=seed,
        taught=rows["train"].sample(taught, seed),
        fresh=rows["test"].sample(fresh, seed),
        accepted=accepted,
        names=Names(
            {code: [name for texts in entities.values() for name in texts] for code, entities in accepted.items()}
        ),
    )
