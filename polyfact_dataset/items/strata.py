"""The data of valid candidates and entities for sampling and drawing, loaded once and looked up by id."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import HUMAN, is_ended, kind_chain, kind_of
from polyfact_dataset.common.text.mentions import mention
from polyfact_dataset.common.text.normalise import normalise, normalise_all
from polyfact_dataset.config.build import DistractConfig
from polyfact_dataset.items.also_true import also_true
from polyfact_dataset.items.containment import Containment, short_names
from polyfact_dataset.items.distractors import draw, feasible
from polyfact_dataset.items.matching import Matcher, traits_of
from polyfact_dataset.items.splits import Fact

# The class of answers that no longer exist.
ENDED = "ended"


@dataclass(frozen=True)
class Entity:
    """An answer: its P31 types and its label in each language, as shown and normalised."""

    types: tuple[str, ...]
    texts: tuple[str, ...]
    normal: tuple[str, ...]


def answer_classes(facts: Iterable[tuple[str, str]], types: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Answer -> its P31 type that is the most common among all answers of a relation; it defines the class.

    `facts` are (fact id, answer) of one relation. An answer without a type is of class "". Former countries and other
    entities that no longer exist are a separate class: the option Soviet Union next to Germany would tell when the
    person lived.
    """
    answers = [answer for _, answer in facts]
    common = Counter(kind for answer in answers for kind in types[answer])
    return {
        answer: ENDED
        if is_ended(types[answer])
        else max(types[answer], key=lambda kind: (common[kind], kind), default="")
        for answer in dict.fromkeys(answers)
    }


class Pool:
    """Valid candidates with their questions and the entities that may be options.

    Built from Arrow tables: `valid_candidates` (candidates' columns), `labels`, `answer_aliases`, `questions`,
    `true_objects` and, where they are available, `features`. `names` is entity -> normalised English label.
    """

    def __init__(
        self,
        valid_candidates: pa.Table,
        labels: pa.Table,
        answer_aliases: pa.Table,
        questions: pa.Table,
        true_objects: pa.Table,
        languages: Sequence[str],
        features: pa.Table | None = None,
    ) -> None:
        self.languages = tuple(languages)
        self._containment = Containment(features)
        self._short_names = short_names(labels, valid_candidates.column("subject_id"), languages)
        self._rules = [language(code).mention_rule for code in languages]
        self.entities = self._load_entities(labels, valid_candidates)
        self._questions = questions.combine_chunks()
        self._row = {fact: row for row, fact in enumerate(questions.column("fact_id").to_pylist())}
        stated = {
            (subject, relation): frozenset(objects)
            for subject, relation, objects in zip(
                *(true_objects.column(name).to_pylist() for name in ("subject_id", "property_id", "objects"))
            )
        }
        answers = {qid: entity.normal[self.languages.index("en")] for qid, entity in self.entities.items()}
        self._true = also_true(stated, features, answers)
        self._same_text = self._shared_texts(answer_aliases)
        self.facts = self._load_facts(valid_candidates, self._load_kinds(labels, valid_candidates, features))
        self.names = _english_names(labels, self.facts)
        self._traits = traits_of(features if features is not None else labels, self.names)
        self._matchers: dict[str, Matcher] = {}

    def matcher(self, relation: str) -> Matcher:
        """The costs of pairs of facts of a relation, made when they are first needed."""
        if relation not in self._matchers:
            self._matchers[relation] = Matcher(self.facts[relation], self.names, self._traits)
        return self._matchers[relation]

    def _load_entities(self, labels: pa.Table, valid_candidates: pa.Table) -> dict[str, Entity]:
        ids = pc.unique(valid_candidates.column("object_id"))
        rows = labels.filter(pc.is_in(labels.column("entity_id"), ids))
        texts = [pc.struct_field(rows.column(code), "text").to_pylist() for code in self.languages]
        types = rows.column("types").to_pylist()
        return {
            qid: Entity(tuple(types[row]), shown, tuple(normalise(text) for text in shown))
            for row, (qid, shown) in enumerate(zip(rows.column("entity_id").to_pylist(), zip(*texts)))
            if None not in shown
        }

    def _load_kinds(
        self, labels: pa.Table, valid_candidates: pa.Table, features: pa.Table | None
    ) -> dict[str, tuple[str, ...]]:
        """Subject -> its kind and the wider ones (relations.toml), empty for none."""
        source = labels if features is None else features
        rows = source.filter(pc.is_in(source.column("entity_id"), pc.unique(valid_candidates.column("subject_id"))))
        subjects = rows.column("entity_id").to_pylist()
        if "kind" in rows.column_names:
            return {qid: kind_chain(kind) for qid, kind in zip(subjects, rows.column("kind").to_pylist())}
        return {qid: kind_chain(kind_of(types)) for qid, types in zip(subjects, rows.column("types").to_pylist())}

    def _load_facts(self, valid_candidates: pa.Table, kinds: Mapping[str, tuple[str, ...]]) -> dict[str, list[Fact]]:
        by_relation: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        names = ("fact_id", "subject_id", "property_id", "object_id")
        for fact, subject, relation, answer in zip(*(valid_candidates.column(name).to_pylist() for name in names)):
            by_relation[relation].append((fact, subject, answer))
        types = {qid: entity.types for qid, entity in self.entities.items()}
        wordings = self._wordings()
        pools = {}
        for relation, rows in by_relation.items():
            classes = answer_classes([(fact, answer) for fact, _, answer in rows], types)
            pools[relation] = [
                Fact(
                    fact,
                    subject,
                    relation,
                    answer,
                    f"{next(reversed(kinds.get(subject, ())), '')}/{classes[answer]}",
                    self._true[subject, relation],
                    kinds.get(subject, ()),
                    wordings[fact],
                    classes[answer],
                )
                for fact, subject, answer in rows
            ]
        return pools

    def _wordings(self) -> dict[str, str]:
        """Fact -> the key of its English wording; empty where a model wrote the question."""
        if "templates" not in self._questions.column_names:
            return dict.fromkeys(self._row, "")
        keys = pc.struct_field(self._questions.column("templates"), "en").to_pylist()
        return {fact: keys[row] or "" for fact, row in self._row.items()}

    def _shared_texts(self, answer_aliases: pa.Table) -> dict[str, frozenset[str]]:
        """Entity -> the others that have the same text in some language, or share one of its names."""
        groups: dict[tuple[int, str], list[str]] = defaultdict(list)
        for qid, entity in self.entities.items():
            for position, text in enumerate(entity.normal):
                groups[position, text].append(qid)
        shared: dict[str, set[str]] = defaultdict(set)
        for members in groups.values():
            if len(members) > 1:
                for qid in members:
                    shared[qid].update(members)
        rows = answer_aliases.filter(
            pc.is_in(answer_aliases.column("entity_id"), pa.array(list(self.entities), pa.string()))
        )
        ids = rows.column("entity_id").to_pylist()
        for position, code in enumerate(self.languages):
            for qid, names in zip(ids, rows.column(code).to_pylist()):
                for other in {other for name in names for other in groups.get((position, normalise(name)), ())} - {qid}:
                    shared[qid].add(other)
                    shared[other].add(qid)
        return {qid: frozenset(others) for qid, others in shared.items()}

    def questions_of(self, facts: Iterable[Fact]) -> list[tuple[str, ...]]:
        """The questions of each fact, normalised, in the order of the languages."""
        rows = pa.array([self._row[fact.id] for fact in facts], pa.int64())
        columns = [self._questions.column(code).take(rows).to_pylist() for code in self.languages]
        return list(zip(*map(normalise_all, columns)))

    def conflicting(self, one: str, other: str) -> bool:
        """Whether two entities may not be in one item.

        They are the same, have the same text in a language, one lies in the other, or one alone is a person: a
        programmer among companies stands out.
        """
        return (
            one == other
            or other in self._same_text.get(one, ())
            or (HUMAN in self.entities[one].types) != (HUMAN in self.entities[other].types)
            or self._containment.overlap(one, other)
        )

    def excluded(self, fact: Fact, questions: Sequence[str], entity: str) -> bool:
        """Whether an entity must not be an option: a true answer, has the text of one, or is named in the question."""
        true = self._true[fact.subject, fact.relation]
        if entity in true or entity == fact.subject or not true.isdisjoint(self._same_text.get(entity, ())):
            return True
        names = self.entities[entity].normal
        if self._containment.lies_in(fact.subject, entity):
            return True
        if any(names[position] == name for position, name in self._short_names.get(fact.subject, ())):
            return True
        for question, name, rule in zip(questions, names, self._rules):
            # What is not even begun in the question is not named in it.
            if (rule.initials or name[:3] in question) and mention(question, name, rule):
                return True
        return False

    def strata(self, facts: Sequence[Fact], config: DistractConfig) -> list[tuple[str, list[Fact]]]:
        """Divides the facts of one relation and split by kind and class, English length, then length in all languages.

        The first is `Fact.group`, the kind of the subject and the class of the answer. A part that cannot have
        permutations, or is smaller than `min_stratum_facts`, is merged with its neighbour.
        """
        english = self.languages.index("en")

        def bucket(length: int) -> int:
            return math.floor(math.log(max(length, 1)) / math.log(config.length_ratio))

        def in_english(fact: Fact) -> int:
            return bucket(len(self.entities[fact.answer].texts[english]))

        def in_all(fact: Fact) -> int:
            return bucket(sum(map(len, self.entities[fact.answer].texts)))

        sizes = Counter(fact.group for fact in facts)
        parts = _cut(facts, lambda fact: (-sizes[fact.group], fact.group), config)
        parts = [part for whole in parts for part in _cut(whole, in_english, config)]
        parts = [part for whole in parts for part in _cut(whole, in_all, config)]
        return [(f"{number:03}", part) for number, part in enumerate(parts)]

    def draw(self, facts: Sequence[Fact], seed: str) -> list[tuple[str, ...]]:
        """Three entity ids per fact of one stratum; `seed` names the stratum.

        Raises `NoDrawingError` with the position of a fact that cannot get distractors.
        """
        names = sorted({fact.answer for fact in facts})
        index = {name: position for position, name in enumerate(names)}
        questions = self.questions_of(facts)
        known: dict[tuple[int, int], bool] = {}

        def excluded(row: int, entity: int) -> bool:
            key = (row, entity)
            if key not in known:
                known[key] = self.excluded(facts[row], questions[row], names[entity])
            return known[key]

        def conflicting(one: int, other: int) -> bool:
            return one == other or self.conflicting(names[one], names[other])

        drawing = draw([index[fact.answer] for fact in facts], excluded, conflicting, seed)
        return [tuple(names[column[row]] for column in drawing.columns) for row in range(len(facts))]


def _english_names(labels: pa.Table, facts: Mapping[str, Sequence[Fact]]) -> dict[str, str]:
    """Entity -> normalised English label, of all subjects and answers."""
    wanted = {entity for listed in facts.values() for fact in listed for entity in (fact.subject, fact.answer)}
    texts = pc.struct_field(labels.column("en"), "text").to_pylist()
    pairs = zip(labels.column("entity_id").to_pylist(), texts)
    return {entity: normalise(label) for entity, label in pairs if entity in wanted and label is not None}


def _cut(facts: Sequence[Fact], key: object, config: DistractConfig) -> list[list[Fact]]:
    groups: dict[object, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[key(fact)].append(fact)  # type: ignore[operator]

    def holds(part: Sequence[Fact]) -> bool:
        return len(part) >= config.min_stratum_facts and feasible(
            [fact.answer for fact in part], [fact.true for fact in part]
        )

    parts: list[list[Fact]] = []
    open_part: list[Fact] = []
    for name in sorted(groups):  # type: ignore[type-var]
        open_part = open_part + groups[name]
        if holds(open_part):
            parts.append(open_part)
            open_part = []
    while open_part and parts and not holds(open_part):
        open_part = parts.pop() + open_part
    if open_part:
        if not holds(open_part):
            return [list(facts)]
        parts.append(open_part)
    return parts
