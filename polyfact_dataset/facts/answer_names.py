"""An index of the names of a relation's answers, which finds those in a text in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.text.mentions import MentionRule, mention, surname
from polyfact_dataset.common.text.normalise import normalise

_KEY = 3


def _keys(name: str, rule: MentionRule) -> set[str]:
    """The first words by which a name is indexed: with, and without, an article that a preposition changes."""
    bare = [name.removeprefix(article) for article, _ in rule.initials]
    return {form[:_KEY] for form in (name, *bare) if form}


class AnswerNames:
    """All names of the answers of one relation, by language. `people` are also found by the family name."""

    def __init__(self, names: Mapping[str, Iterable[str]], people: bool = False) -> None:
        self._people = people
        self._index: dict[str, dict[str, set[str]]] = {}
        for code, listed in names.items():
            rule, index = language(code).mention_rule, defaultdict(set)
            for name in map(normalise, listed):
                forms = {name, surname(name) or name} if people else {name}
                for key in set().union(*(_keys(form, rule) for form in forms)):
                    index[key].add(name)
            self._index[code] = dict(index)

    def mentioned(self, text: str, code: str) -> str | None:
        """A name that the text mentions in the language, normalised; None where it mentions none."""
        rule, form, index = language(code).mention_rule, normalise(text), self._index.get(code, {})
        tried: set[str] = set()
        for start in range(len(form) - 1):
            for size in (_KEY, _KEY - 1):
                for name in index.get(form[start : start + size], set()) - tried:
                    tried.add(name)
                    if mention(form, name, rule, person=self._people):
                        return name
        return None
