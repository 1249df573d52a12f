"""The wordings of a relation, and the choice of one for a subject.

A wording's key is its condition: a kind (relations.toml), `female` or `male`, `living` or `dead`, `singular` or
`plural`, and the form of the name in its text, joined by slashes in this order (`musician/female/dead`). Of the
wordings that fit a subject, the one with the narrowest kind is chosen, and among these the one with the most
conditions; a tie is an error. The key `safe` has no condition and is the fallback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import combinations

from polyfact_dataset.catalog.forms import Forms
from polyfact_dataset.catalog.relation import PERSON, all_relations, kind_chain, kind_names
from polyfact_dataset.catalog.subject import Subject

SAFE = "safe"
_SEX, _LIFE, _NUMBER = ("female", "male"), ("living", "dead"), ("singular", "plural")
# The subject in a text, with the quotation marks around it.
_PLACE = re.compile(r"([“„«‘『「《][\u00a0\u202f ]?)?\{subject(?::(\w+))?\}(?(1)[\u00a0\u202f ]?[”“»’』」》])")
# A noun that is omitted before or after a name that already contains it: `[river ]`, or `[rivière |fleuve ]`.
_NOUN = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Asked:
    """A question and the wording that it has: `template` is such as `P19/female/dead`."""

    text: str
    template: str

    @property
    def is_safe(self) -> bool:
        return self.template.endswith(f"/{SAFE}")


@dataclass(frozen=True)
class Condition:
    """The condition of a wording on its subject; None means no condition."""

    kind: str | None = None
    sex: str | None = None
    life: str | None = None
    number: str | None = None
    slot: str | None = None

    @classmethod
    def parse(cls, key: str, slots: Sequence[str]) -> Condition:
        """The condition of a key. Raises `ValueError` when it is invalid or its parts are in another order."""
        if key == SAFE:
            return cls()
        values: dict[str, str] = {}
        for part in key.split("/"):
            groups = {"kind": kind_names(), "sex": _SEX, "life": _LIFE, "number": _NUMBER, "slot": slots}
            name = next((name for name, parts in groups.items() if part in parts), None)
            if name is None:
                raise ValueError(f"{part!r} is neither a kind of relations.toml, a feature nor a slot of the forms")
            if name in values:
                raise ValueError(f"{values[name]!r} and {part!r} exclude each other")
            values[name] = part
        condition = cls(**values)
        if condition.key != key:
            raise ValueError(f"write it as {condition.key!r}")
        return condition

    @cached_property
    def key(self) -> str:
        return "/".join(part for part in (self.kind, self.sex, self.life, self.number, self.slot) if part) or SAFE

    @cached_property
    def chain(self) -> tuple[str, ...]:
        """The kinds that a subject of the condition belongs to: only a person has a sex."""
        return kind_chain(self.kind or (PERSON if self.sex or self.life else None))

    @property
    def rank(self) -> tuple[int, int]:
        """Greater for the more specific of two conditions: the depth of the kind, then the number of other parts."""
        return len(self.chain), sum(part is not None for part in self._others)

    @property
    def _others(self) -> tuple[str | None, ...]:
        return self.sex, self.life, self.number, self.slot

    def same(self, other: Condition) -> bool:
        """Whether the same subjects fit both."""
        return self.chain == other.chain and self._others == other._others

    def both(self, other: Condition) -> Condition | None:
        """The condition of the subjects that fit both, which are of equal rank; None where there are none."""
        if self.chain != other.chain:
            return None
        if any(mine and its and mine != its for mine, its in zip(self._others[:3], other._others[:3])):
            return None
        return Condition(self.kind or other.kind, *(mine or its for mine, its in zip(self._others, other._others)))

    def fits(self, chain: Sequence[str], written: Written) -> bool:
        """Whether a subject, of the kinds `chain`, fits."""
        subject = written.subject
        if self.chain and self.chain[0] not in chain:
            return False
        if self.sex not in (None, subject.sex):
            return False
        if self.life is not None and (subject.is_living is None or subject.is_living != (self.life == "living")):
            return False
        if self.number is not None and self.number != written.number:
            return False
        return self.slot is None or written.form(self.slot) is not None


class Written:
    """A subject and how its name is written: each form is looked for once, though many wordings may need it."""

    def __init__(self, subject: Subject, forms: Forms) -> None:
        self.subject, self._forms = subject, forms
        self._by_slot: dict[str, str | None] = {}

    def form(self, slot: str) -> str | None:
        """The name in a slot; None where it is not known."""
        if slot not in self._by_slot:
            self._by_slot[slot] = self._forms.of(self.subject, slot)
        return self._by_slot[slot]

    @cached_property
    def number(self) -> str | None:
        """`plural`, `singular`, or None where it is not known."""
        return self._forms.number(self.subject)


@dataclass(frozen=True)
class Wordings:
    """The wordings of one relation, key -> text, and the forms of names in their language."""

    relation: str
    texts: Mapping[str, str]
    forms: Forms

    @cached_property
    def conditions(self) -> list[Condition]:
        """The most specific first; `safe` is not among them."""
        conditions = [Condition.parse(key, self.forms.slots) for key in self.texts if key != SAFE]
        return sorted(conditions, key=lambda condition: condition.rank, reverse=True)

    def check(self) -> None:
        """Raises `ValueError` when a wording cannot be used, or two of them fit a subject equally well."""
        if SAFE not in self.texts:
            raise ValueError(f"lacks {SAFE!r}")
        for key, text in self.texts.items():
            slot = Condition.parse(key, self.forms.slots).slot
            places = list(_PLACE.finditer(text))
            if len(places) != 1 or text != text.strip():
                raise ValueError(f"{key}: {{subject}} must occur exactly once, without leading or trailing spaces")
            if places[0][2] != slot:
                raise ValueError(f"{key}: the text must contain {{subject{f':{slot}' if slot else ''}}}")
        for one, two in combinations(self.conditions, 2):
            both = one.both(two) if one.rank == two.rank else None
            if both is None:
                continue
            if one.slot and two.slot and one.slot != two.slot or one.same(two):
                raise ValueError(f"{one.key!r} and {two.key!r} fit the same subjects")
            if not any(both.same(condition) for condition in self.conditions):
                raise ValueError(f"{one.key!r} and {two.key!r} fit the same subjects: write {both.key!r} as well")

    def plain(self, key: str) -> str:
        """The text of a key with `{subject}` for the name in any form, and with all nouns around it."""
        return _NOUN.sub(lambda noun: noun[1].split("|")[0], re.sub(r"\{subject:\w+\}", "{subject}", self.texts[key]))

    def choose(self, subject: Subject) -> str:
        """The key of the wording for a subject."""
        return self._choose(Written(subject, self.forms))

    def _choose(self, written: Written) -> str:
        for kinds in (kind_chain(written.subject.kind), self._assumed):
            for condition in self._of_kinds(kinds):
                if condition.fits(kinds, written):
                    return condition.key
        return SAFE

    @cached_property
    def _assumed(self) -> tuple[str, ...]:
        """The kinds of a subject of which none is known."""
        return kind_chain(all_relations()[self.relation].subjects)

    def _of_kinds(self, chain: tuple[str, ...]) -> list[Condition]:
        """The conditions whose kind is in the chain; kept, since a relation has few kinds of subjects."""
        if chain not in self._kept:
            self._kept[chain] = [one for one in self.conditions if not one.chain or one.chain[0] in chain]
        return self._kept[chain]

    @cached_property
    def _kept(self) -> dict[tuple[str, ...], list[Condition]]:
        return {}

    def why_safe(self, subject: Subject) -> str:
        """The reason why a subject gets the safe wording, for a subject that does.

        `no_form`: a wording would fit if its name had a form; `no_kind`: none of its types is of a kind; `no_wording`:
        its kind has no wording.
        """
        written, chains = Written(subject, self.forms), (kind_chain(subject.kind), self._assumed)
        if any(condition.fits(chain, written) for condition in self._formless for chain in chains):
            return "no_form"
        return "no_kind" if subject.kind is None else "no_wording"

    @cached_property
    def _formless(self) -> list[Condition]:
        """The conditions that need a form of the name, without it."""
        return [replace(condition, slot=None) for condition in self.conditions if condition.slot]

    def ask(self, subject: Subject, description: str = "", key: str | None = None) -> Asked:
        """The question about a subject, in the wording that it fits best, or in that of a `key` that it fits.

        `description` follows its name and the quotation marks around it.
        """
        written = Written(subject, self.forms)
        key = key or self._choose(written)
        before, opening, slot, closing, after = _parts(self.texts[key])
        name = subject.label if slot is None else written.form(slot)
        assert name is not None  # the condition fits
        name = self.forms.quoted(name) if opening else name
        begin = _noun(before, subject.label)
        if begin != before:
            begin = _without_repetition(begin, subject.label)
        end = _noun(after, subject.label)
        return Asked(f"{begin}{opening}{name}{closing}{description}{end}", f"{self.relation}/{key}")


@cache
def _parts(text: str) -> tuple[str, str, str | None, str, str]:
    """A wording's text before the subject, the opening quotation mark, the slot, the closing mark, the text after."""
    placeholder = _PLACE.search(text)
    assert placeholder is not None  # ensured by `check`
    opening, closing = re.split(r"\{subject(?::\w+)?\}", placeholder[0])
    return text[: placeholder.start()], opening, placeholder[2], closing, text[placeholder.end() :]


def _noun(text: str, name: str) -> str:
    """The text around a name, without the nouns in square brackets that the name begins or ends with."""
    if "[" not in text:
        return text
    folded = name.casefold()

    def shown(noun: re.Match[str]) -> str:
        forms = [form.strip().casefold() for form in noun[1].split("|")]
        repeated = any(re.match(rf"{re.escape(form)}\b", folded) or folded.endswith(form) for form in forms)
        return "" if repeated else noun[1].split("|")[0]

    return _NOUN.sub(shown, text)


def _without_repetition(text: str, name: str) -> str:
    """The text before a name, without a last word that the name begins with: "the The Band", whose noun is left out."""
    *words, last = text.rstrip(" ").rsplit(" ", 1)
    first, *others = name.split(" ", 1)
    return f"{words[0]} " if words and others and last.casefold() == first.casefold() else text
