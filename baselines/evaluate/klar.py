"""KLAR: cross-lingual factual recall by free generation, in the paper's protocol (Wang et al. 2025; appendix A).

    python -m baselines.evaluate.klar --model M --data KLAR --output k.json --train-data jvonrad/PolyFact

`--data` is a folder, or the id of a dataset on the Hub, with one JSON file per language and relation
(`<language>/<relation>.json`). Prompts have 3 shots of the same relation and language; the first line of at most 10
greedy tokens is the answer. Reported: `lenient` (the paper's match), `folded` (the same rule with our folding) and
`exact`, over trained and held-out languages, by proper- and common-noun relation, and, with `--train-data`, separately
for facts of that training split. `--rank` scores all objects of a relation instead, for RankC (kind `klar_ranked`).

`--prompt free` asks the facts of PolyFact's relations in its wordings and its prompt for open questions, in those of
KLAR's languages that have a language file, held-out ones included. It has no shots and is not the paper's protocol.
"""

from __future__ import annotations

import random
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from baselines.data import load_labels
from baselines.evaluate import common, results
from baselines.evaluate.answers import Question, Task, answer_all
from baselines.evaluate.common import Run
from baselines.evaluate.matching import Names
from baselines.evaluate.options import AnswerOptions, ChatEngineOptions, Languages, ModelOptions, RunOptions, split_list
from baselines.evaluate.ranked import Pool, rank_all
from baselines.metrics import KLAR_TRAINED
from baselines.prompts import Prompt, free_prompt
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.files import digest_json
from polyfact_dataset.common.text.normalise import normalise

LANGUAGES = (*KLAR_TRAINED, "ca", "el", "fa", "he", "hu", "ko", "nl", "tr", "uk", "vi")
SHOTS = 3
PROMPTS = ("klar", "free")
# KLAR's relations that are relations of PolyFact; True where subject and object are exchanged.
PROPERTIES = {
    "capital": ("P36", False),
    "capital_of": ("P36", True),
    "continent": ("P30", False),
    "country_of_citizenship": ("P27", False),
    "developer": ("P178", False),
    "language_of_work_or_name": ("P407", False),
    "manufacturer": ("P176", False),
    "official_language": ("P37", False),
    "place_of_birth": ("P19", False),
    "place_of_death": ("P20", False),
}


class Sample(BaseModel):
    """One fact of a relation file. `object_candidates` are all objects of the relation, comma-separated."""

    model_config = ConfigDict(frozen=True)

    subject: str
    object: str
    index: int
    object_candidates: str = ""


class RelationFile(BaseModel):
    """One file: a relation in a language."""

    model_config = ConfigDict(frozen=True)

    name: str = ""
    prompt_templates: tuple[str, ...]
    samples: tuple[Sample, ...]

    @cached_property
    def ordered(self) -> tuple[list[int], list[Sample]]:
        """Indexes in ascending order, and their samples."""
        samples = sorted(self.samples, key=lambda sample: sample.index)
        return [sample.index for sample in samples], samples


@dataclass(frozen=True)
class Klar:
    """All files: language -> relation -> content."""

    source: str
    revision: str | None
    files: Mapping[str, Mapping[str, RelationFile]]

    def in_our_words(self) -> Klar:
        """The languages that have a file, and the relations that PolyFact asks in the same direction.

        Raises `ConfigError` where nothing remains.
        """
        asked = {name for name, (_, turned) in PROPERTIES.items() if not turned}
        files = {
            code: {name: file for name, file in self.files[code].items() if name in asked}
            for code in self.languages
            if code in known()
        }
        if not any(files.values()):
            raise ConfigError(
                f"--prompt free: none of {', '.join(self.languages)} has a language file and a relation of PolyFact's; "
                f"known are {', '.join(known())}"
            )
        return Klar(self.source, self.revision, files)

    @property
    def languages(self) -> tuple[str, ...]:
        """In the paper's order, trained ones first."""
        return tuple(code for code in LANGUAGES if code in self.files)

    def first(self, facts: int | None) -> Klar:
        """The same with the `facts` samples of lowest index of each relation; all for None."""
        if facts is None:
            return self
        files = {
            code: {
                relation: file.model_copy(update={"samples": tuple(file.ordered[1][:facts])})
                for relation, file in relations.items()
            }
            for code, relations in self.files.items()
        }
        return Klar(self.source, self.revision, files)

    def digests(self) -> dict[str, str]:
        """Language code -> SHA-256 of its files' content."""
        return {
            code: digest_json({name: file.model_dump() for name, file in sorted(self.files[code].items())})
            for code in self.languages
        }


def load_klar(source: str, languages: Sequence[str] | None = None, revision: str | None = None) -> Klar:
    """Reads `<language>/<relation>.json` below a folder or of a dataset on the Hub; by default all 17 languages.

    Raises `ConfigError` for a source or language that is not there, `DataError` for a broken file.
    """
    folder, commit = Path(source), None
    if not folder.is_dir():
        folder, commit = _download(source, revision)
    wanted = languages or LANGUAGES
    unknown = [code for code in wanted if code not in LANGUAGES]
    if unknown:
        raise ConfigError(f"KLAR is not in {', '.join(unknown)}; choose from {', '.join(LANGUAGES)}")
    files: dict[str, dict[str, RelationFile]] = {}
    for path in sorted(folder.rglob("*.json")):
        if path.parent.name in wanted:
            files.setdefault(path.parent.name, {})[path.stem] = _read(path)
    missing = [code for code in wanted if code not in files]
    if missing:
        available = ", ".join(sorted({p.parent.name for p in folder.rglob("*.json")})) or "none"
        raise ConfigError(
            f"KLAR in {source} has no <language>/<relation>.json for {', '.join(missing)}; has {available}"
        )
    return Klar(source, commit, files)


def _download(source: str, revision: str | None) -> tuple[Path, str | None]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(source, repo_type="dataset", revision=revision, allow_patterns="*.json"))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ConfigError(f"KLAR {source!r} is neither a folder nor a dataset on the Hub") from error
    except (OSError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())
        raise RetryableError(f"KLAR {source} is no folder, and cannot be fetched now: {reason}") from error
    return folder, folder.name


def _read(path: Path) -> RelationFile:
    try:
        return RelationFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def fill(template: str, subject: str) -> str:
    """The template with its subject, without `<mask>` and the blank before it, right-stripped."""
    return template.replace("<subject>", subject).replace(" <mask>", "").replace("<mask>", "").rstrip()


def prompt_of(file: RelationFile, sample: Sample, relation: str, template: int, seed: int) -> str:
    """Three lines `input object` and a last `input `. The shots depend on seed, relation and fact, not on the language.

    The template is that of number `template` modulo their number: some files have one instead of five.
    Raises `DataError` when the file has too few samples or no template.
    """
    if not file.prompt_templates:
        raise DataError(f"KLAR {relation}: the file has no template")
    indexes, samples = file.ordered
    # The others are those before `begin` and from `end` on; they are drawn by number, not listed.
    begin, end = bisect_left(indexes, sample.index), bisect_right(indexes, sample.index)
    others = range(len(samples) - (end - begin))
    if len(others) < SHOTS:
        raise DataError(f"KLAR {relation}: {len(file.samples)} samples are too few for {SHOTS} shots")
    drawn = random.Random(f"{seed}|klar|{relation}|{sample.index}").sample(others, SHOTS)
    shots = [samples[number if number < begin else number + end - begin] for number in drawn]
    wording = file.prompt_templates[template % len(file.prompt_templates)]
    lines = [f"{fill(wording, shot.subject)} {shot.object}" for shot in shots]
    return "\n".join([*lines, f"{fill(wording, sample.subject)} "])


def contaminated(klar: Klar, labels: Mapping[str, Iterable[tuple[str, str, str]]]) -> set[tuple[str, int]]:
    """(relation, index) of the facts whose triple is among `labels`: language -> (property, subject, object) labels.

    A fact counts when its labels are found in any language; capital_of is looked up as capital with its ends exchanged.
    """
    known = {code: {(p, normalise(s), normalise(o)) for p, s, o in triples} for code, triples in labels.items()}
    result = set()
    for code in set(klar.files) & set(known):
        for relation, file in klar.files[code].items():
            if relation not in PROPERTIES:
                continue
            property_id, turned = PROPERTIES[relation]
            for sample in file.samples:
                ends = (normalise(sample.subject), normalise(sample.object))
                if (property_id, *(ends[::-1] if turned else ends)) in known[code]:
                    result.add((relation, sample.index))
    return result


def questions_of(
    klar: Klar, template: int, seed: int, seen: set[tuple[str, int]] | None, free: bool = False
) -> list[Question]:
    """One question per language, relation and sample. `seen` are the contaminated ones, None where unknown.

    With `free`, in PolyFact's words: see `Klar.in_our_words`.
    """

    def asked(file: RelationFile, sample: Sample, relation: str, code: str) -> Prompt:
        if free:
            return free_prompt(code, language(code).question(PROPERTIES[relation][0], None, sample.subject))
        return Prompt(prompt_of(file, sample, relation, template, seed), "")

    golds: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
    for code in klar.languages:
        for relation, file in klar.files[code].items():
            for sample in file.samples:
                golds.setdefault((relation, sample.index), {})[code] = (sample.object,)
    return [
        Question(
            f"{relation}|{sample.index}",
            relation,
            code,
            prompt.text,
            golds[relation, sample.index],
            None if seen is None else (relation, sample.index) in seen,
            prompt.instruction,
        )
        for code in klar.languages
        for relation, file in klar.files[code].items()
        for sample in file.samples
        for prompt in (asked(file, sample, relation, code),)
    ]


def names_of(klar: Klar) -> Names:
    """All objects and candidates of each language."""
    return Names(
        {
            code: {
                name.strip()
                for file in klar.files[code].values()
                for sample in file.samples
                for name in (sample.object, *sample.object_candidates.split(","))
            }
            for code in klar.languages
        }
    )


def pools_of(klar: Klar, template: int, seed: int) -> list[Pool]:
    """One pool per language, relation and sample: the distinct objects of the relation, known by their English name.

    An object is known by the name that English has for the sample with its index; a language offers those objects that
    all languages have for the relation. Raises `DataError` where English is missing.
    """
    if "en" not in klar.files:
        raise DataError("KLAR, ranked: objects are aligned by their English names; include en in --languages")
    pools = []
    relations = set.intersection(*(set(files) for files in klar.files.values()))
    for relation in sorted(relations):
        english = {sample.index: sample.object for sample in klar.files["en"][relation].samples}
        names: dict[str, dict[str, str]] = {}
        for code in klar.languages:
            by_english = names.setdefault(code, {})
            for sample in klar.files[code][relation].samples:
                if sample.index in english:
                    by_english.setdefault(english[sample.index], sample.object)
        shared = set.intersection(*(set(by_english) for by_english in names.values()))
        for code in klar.languages:
            file = klar.files[code][relation]
            candidates = {name: names[code][name] for name in sorted(shared)}
            for sample in file.samples:
                gold = english.get(sample.index)
                if gold in shared and len(shared) > 1:
                    prompt = prompt_of(file, sample, relation, template, seed).rstrip(" ")
                    texts = {name: f" {text}" for name, text in candidates.items()}
                    pools.append(Pool(f"{relation}|{sample.index}", relation, code, prompt, texts, str(gold)))
    return pools


def _is_free(prompt: str, rank: bool) -> bool:
    if prompt not in PROMPTS or (rank and prompt != "klar"):
        raise ConfigError(f"--prompt {prompt!r} must be one of {', '.join(PROMPTS)}; with --rank it is klar")
    return prompt == "free"


@option_groups
def main(
    model: ModelOptions,
    data: Annotated[str, typer.Option(help="KLAR: its folder or its id on the Hub.")],
    target: RunOptions,
    engine: ChatEngineOptions,
    languages: Languages = None,
    template: Annotated[int, typer.Option(min=0, help="Which of a relation's templates, modulo their number.")] = 1,
    prompt: Annotated[str, typer.Option(help="klar (its templates, 3 shots) or free (our wordings).")] = "klar",
    rank: Annotated[bool, typer.Option("--rank", help="Score all objects of the relation instead, for RankC.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Facts per relation, the first ones. Default: all.")] = None,
    train_data: Annotated[
        str | None, typer.Option(help="Release whose training facts are reported separately (contamination).")
    ] = None,
    train_config: Annotated[str, typer.Option(help="Config of --train-data.")] = "parallel",
    data_revision: Annotated[str | None, typer.Option(help="Revision of KLAR on the Hub.")] = None,
    answers: AnswerOptions = AnswerOptions(new_tokens=10),
) -> None:
    """Evaluate free-form factual recall on KLAR."""
    common.prepare(target, engine.engine)
    free = _is_free(prompt, rank)
    klar = load_klar(data, split_list(languages), data_revision).first(limit)
    klar = klar.in_our_words() if free else klar
    labels = load_labels(train_data, train_config, "train", klar.languages) if train_data else None
    seen = None if labels is None else contaminated(klar, labels)
    run = Run.start(target, model, engine)
    shots = {"shots": 0, "template": None} if free else {"shots": SHOTS, "template": template}
    settings = {"train_data": train_data, "limit": limit, **shots}
    if rank:
        pools = pools_of(klar, template, run.seed)
        about = about_klar(klar, len({pool.fact_id for pool in pools}))
        asked = results.Prompt(style=f"klar-{template}", sha256=digest_json([pool.prompt for pool in pools]))
        ranked = rank_all(run, "klar_ranked", pools, about, asked, settings)
        if ranked:
            common.print_choices(ranked, target.output)
        return
    questions = questions_of(klar, template, run.seed, seen, free)
    about = about_klar(klar, len({question.fact_id for question in questions}))
    style, texts = "free" if free else f"klar-{template}", [question.prompt for question in questions]
    asked = results.Prompt(style=style, sha256=digest_json(texts))
    task = Task("klar", questions, names_of(klar), about, asked, settings)
    if result := answer_all(run, task, answers.new_tokens, engine.batch_tokens, answers.decoding(run.seed)):
        common.print_generations(result, target.output)


def about_klar(klar: Klar, facts: int) -> results.Data:
    """The description of KLAR's items."""
    return results.Data(
        source=klar.source,
        config="klar",
        split="test",
        revision=klar.revision,
        content=None,
        facts=facts,
        languages=klar.languages,
        digests=klar.digests(),
    )


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
