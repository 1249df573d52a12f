"""A dump of the shape of the real one: kinds of entities, sizes, languages, claims with references and qualifiers.

Entities are drawn from archetypes in about the shares of Wikidata in 2025 (scholarly articles, Wikimedia pages, people,
places, stars, taxa and genes, works, widely known things, lexemes), 14 statements and 14 KB on average, written as
PHP writes them (ASCII, `\\/`). Names are random words; nothing is copied. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

# Alphabets of the random words; every language not named here is written in Latin letters.
_HAN = "的一是在不了有和人这中大为上个国我以要"
_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
_LETTERS = {
    "ru": "абвгдежзиклмнопрстуфхцчшщэюя",
    "uk": "абвгґдежзиіклмнопрстуфхцчшюя",
    "ar": _ARABIC,
    "fa": _ARABIC + "پچژگ",
    "arz": _ARABIC,
    "he": "אבגדהוזחטיכלמנסעפצקרשת",
    "bn": "কখগঘচছজঝটঠডঢণতথদধনপফবভমযরলশষসহ",
    "hi": "कखगघचछजझटठडढणतथदधनपफबभमयरलवशषसह",
    "el": "αβγδεζηθικλμνξοπρστυφχψω",
    "ja": "アイウエオカキクケコサシスセソタチツテト",
    "ko": "가나다라마바사아자차카타파하",
    "th": "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศษสห",
    "zh": _HAN,
    "zh-hans": _HAN,
    "zh-hant": _HAN,
}
_MAJOR = ("en nl fr de es it sv ru pt pl ja ar zh uk fa ca").split()  # noqa: SIM905
_MINOR = (  # noqa: SIM905
    "mul ast sl ga da nb id ko tr cs he fi bn hu ro el hi th vi sr eu eo gl sq cy lt lv et hr bg sk hy ka kk uz az "
    "be ms ta te ml mr ur sw af nn oc la lb zh-hans zh-hant zh-cn zh-tw zh-hk pt-br en-gb en-ca de-at de-ch arz ceb "
    "war min su jv tl sco fy nds br an io ia vec"
).split()
_RELATIONS_OF = {
    "human": {"P27": 0.6, "P19": 0.45, "P20": 0.2, "P69": 0.2, "P108": 0.15},
    "place": {"P17": 0.95, "P47": 0.05, "P30": 0.01, "P37": 0.005, "P38": 0.002, "P36": 0.01},
    "work": {"P50": 0.15, "P57": 0.15, "P170": 0.2, "P136": 0.4, "P495": 0.4, "P407": 0.35, "P178": 0.05, "P400": 0.1},
    "article": {"P407": 0.25, "P50": 0.2},
    "known": {"P17": 0.3, "P176": 0.05, "P84": 0.1, "P61": 0.05, "P136": 0.2, "P27": 0.3, "P19": 0.3, "P37": 0.1},
}
_SHARES = {
    "article": 0.37, "page": 0.13, "human": 0.11, "place": 0.12, "star": 0.07, "bio": 0.08, "work": 0.07, "known": 0.01,
    "thing": 0.03, "lexeme": 0.01,
}  # fmt: skip
_TYPE = {"article": 13442814, "page": 4167836, "human": 5, "place": 486972, "star": 523, "bio": 16521, "work": 11424}


class Maker:
    """Draws entities. All randomness comes from one generator; hashes and ids are random hexadecimal digits."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._words = {code: self._vocabulary(letters) for code, letters in _LETTERS.items()}
        self._latin = self._vocabulary("abcdefghijklmnoprstuvwyz")
        self._sources = [self._source() for _ in range(400)]
        self._next = 30

    def _vocabulary(self, letters: str) -> list[str]:
        sizes = (3, 9) if len(letters) > 22 else (1, 3)
        words = ["".join(self._rng.choices(letters, k=self._rng.randint(*sizes))) for _ in range(4000)]
        return [json.dumps(word)[1:-1] for word in words]

    def _hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits):0{digits}x}"

    def _name(self, code: str, words: int) -> str:
        vocabulary = self._words.get(code, self._latin)
        # Zipf-like: squaring a uniform number prefers the first words.
        return " ".join(vocabulary[int(self._rng.random() ** 3 * 4000)] for _ in range(words))

    def _item(self, number: int) -> str:
        value = f'{{"entity-type":"item","numeric-id":{number},"id":"Q{number}"}}'
        return f'"datavalue":{{"value":{value},"type":"wikibase-entityid"}},"datatype":"wikibase-item"'

    def _string(self, text: str, kind: str = "external-id") -> str:
        return f'"datavalue":{{"value":"{text}","type":"string"}},"datatype":"{kind}"'

    def _time(self, year: int) -> str:
        day = f"{self._rng.randint(1, 12):02}-{self._rng.randint(1, 28):02}"
        return (
            f'"datavalue":{{"value":{{"time":"+{year}-{day}T00:00:00Z","timezone":0,"before":0,"after":0,"precision":11,'
            '"calendarmodel":"http:\\/\\/www.wikidata.org\\/entity\\/Q1985727"},"type":"time"},"datatype":"time"'
        )

    def _snak(self, prop: str, value: str, with_hash: bool = False) -> str:
        digest = f'"hash":"{self._hex(40)}",' if with_hash else ""
        return f'{{"snaktype":"value","property":"{prop}",{digest}{value}}}'

    def _source(self) -> tuple[str, str]:
        """A reference used by many statements: where it says so, with a URL and the day it was read."""
        url = self._string(f"https:\\/\\/www.{self._name('en', 1)}.org\\/{self._hex(6)}", "url")
        snaks = {"P248": self._item(self._rng.randrange(10**6, 10**8)), "P854": url, "P813": self._time(2021)}
        return self._reference(snaks), self._hex(8)

    def _reference(self, snaks: dict[str, str]) -> str:
        listed = ",".join(f'"{prop}":[{self._snak(prop, value)}]' for prop, value in snaks.items())
        order = ",".join(f'"{prop}"' for prop in snaks)
        return f'{{"hash":"{self._hex(40)}","snaks":{{{listed}}},"snaks-order":[{order}]}}'

    def _statement(
        self, subject: int, prop: str, value: str, reference: str = "", qualifiers: dict[str, str] | None = None
    ) -> str:
        bits = self._hex(32).upper()
        unique = f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"
        parts = [f'{{"mainsnak":{self._snak(prop, value)},"type":"statement"']
        if qualifiers:
            listed = ",".join(f'"{key}":[{self._snak(key, text, True)}]' for key, text in qualifiers.items())
            order = ",".join(f'"{key}"' for key in qualifiers)
            parts.append(f'"qualifiers":{{{listed}}},"qualifiers-order":[{order}]')
        rank = "normal" if self._rng.random() < 0.97 else self._rng.choice(("preferred", "deprecated"))
        parts.append(f'"id":"Q{subject}${unique}","rank":"{rank}"')
        if reference:
            parts.append(f'"references":[{reference}]')
        return ",".join(parts) + "}"

    def _claims(self, subject: int, kind: str) -> dict[str, list[str]]:
        rng, claims = self._rng, dict[str, list[str]]()
        source = rng.choice(self._sources)[0]

        def add(prop: str, value: str, share: float = 0.8, **more: dict[str, str]) -> None:
            reference = source if rng.random() < share else ""
            claims.setdefault(prop, []).append(self._statement(subject, prop, value, reference, **more))

        add("P31", self._item(_TYPE.get(kind, rng.choice((7397, 3305213, 515, 6256, 7889)))), 0.5)
        for prop, share in _RELATIONS_OF.get(kind, {}).items():
            if rng.random() < share:
                for _ in range(1 if rng.random() < 0.8 else rng.randint(2, 4)):
                    ends = {"P582": self._time(2001)} if rng.random() < 0.05 else {}
                    add(prop, self._item(int(30 + rng.paretovariate(0.6) * 50) % 10**8), qualifiers=ends)
        if kind == "article":
            for number in range(rng.randint(1, 7)):
                add("P2093", self._string(self._name("en", 2), "string"), 0.9,
                    qualifiers={"P1545": self._string(str(number + 1), "string")})  # fmt: skip
            for _ in range(int(rng.expovariate(1 / 8))):
                add("P2860", self._item(rng.randrange(10**7, 10**8)), 0.95)
            add("P577", self._time(rng.randint(1960, 2023)))
            add("P1433", self._item(rng.randrange(10**6)))
        if kind == "star":
            for _ in range(7):
                add("P528", self._string(f"{rng.choice(('SDSS', '2MASS', 'TIC'))} {self._hex(10)}", "string"), 0.9,
                    qualifiers={"P972": self._item(rng.randrange(10**6, 10**7))})  # fmt: skip
        for _ in range(int(rng.expovariate(1 / {"known": 60, "page": 0.2}.get(kind, 6)))):
            recent_reference = self._reference({"P248": self._item(rng.randrange(10**7)), "P813": self._time(2019)})
            prop = f"P{rng.randrange(300, 9000)}"
            value = self._string(self._hex(9)) if rng.random() < 0.7 else self._item(rng.randrange(10**8))
            claims.setdefault(prop, []).append(
                self._statement(subject, prop, value, recent_reference if rng.random() < 0.12 else source)
            )
        return claims

    def _codes(self, kind: str) -> list[str]:
        rng = self._rng
        wanted = {"article": 2, "page": 9, "human": 9, "place": 7, "known": 55, "work": 6}.get(kind, 3)
        count = max(1, int(rng.expovariate(1 / wanted)))
        major = [code for code in _MAJOR if rng.random() < min(1.0, count / 12)]
        return list(dict.fromkeys(["en", *major, *rng.sample(_MINOR, min(len(_MINOR), max(0, count - len(major))))]))

    def _texts(self, codes: list[str], words: int) -> str:
        listed = ",".join(f'"{c}":{{"language":"{c}","value":"{self._name(c, words)}"}}' for c in codes)
        return f"{{{listed}}}" if listed else "[]"

    def _lexeme(self) -> str:
        number, word = self._rng.randrange(1, 10**6), self._name("en", 1)
        forms = ",".join(
            f'{{"id":"L{number}-F{form}","representations":{self._texts(["en"], 1)},'
            f'"grammaticalFeatures":["Q110786"],"claims":[]}}'
            for form in range(self._rng.randint(1, 20))
        )
        return (
            f'{{"type":"lexeme","id":"L{number}","lemmas":{{"en":{{"language":"en","value":"{word}"}}}},'
            f'"lexicalCategory":"Q1084","language":"Q1860","claims":[],"forms":[{forms}],"senses":[],"lastrevid":1}}'
        )

    def entity(self) -> str:
        """One line, without the comma."""
        rng = self._rng
        kind = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        if kind == "lexeme":
            return self._lexeme()
        self._next += rng.randint(1, 2)
        subject, codes = self._next, self._codes(kind)
        if kind in ("human", "article"):
            # Names and titles are the same in all Latin-script languages.
            name = self._name("en", 2 if kind == "human" else 9)
            listed = ",".join(
                f'"{c}":{{"language":"{c}","value":"{self._name(c, 2) if c in _LETTERS else name}"}}' for c in codes
            )
            labels = f"{{{listed}}}"
        else:
            labels = self._texts(codes, 2)
        described = {"article": 12, "page": 70, "human": 7, "place": 12, "known": 30}.get(kind, 6)
        wording = rng.sample(_MAJOR + _MINOR, min(described, 80))
        descriptions = self._texts(wording, 3)
        named = [c for c in codes if rng.random() < 0.2]
        aliases = ",".join(f'"{c}":[{{"language":"{c}","value":"{self._name(c, 2)}"}}]' for c in named)
        linked = {"known": 40, "page": 4, "human": 1.2, "place": 3, "article": 0.01, "work": 1.5}.get(kind, 0.3)
        names = rng.sample(_MAJOR + _MINOR[1:40], min(50, int(rng.expovariate(1 / linked))))
        wikis = {code: code.replace("-", "_") + "wiki" for code in names}
        sitelinks = ",".join(
            f'"{wiki}":{{"site":"{wiki}","title":"{self._name(code, 2)}","badges":[]}}' for code, wiki in wikis.items()
        )
        claims = ",".join(
            f'"{prop}":[{",".join(statements)}]' for prop, statements in self._claims(subject, kind).items()
        )
        return (
            f'{{"type":"item","id":"Q{subject}","labels":{labels},"descriptions":{descriptions},'
            f'"aliases":{f"{{{aliases}}}" if aliases else "[]"},"claims":{{{claims}}},'
            f'"sitelinks":{f"{{{sitelinks}}}" if sitelinks else "[]"},"lastrevid":{rng.randrange(10**9, 2 * 10**9)}}}'
        )


def lines(total_bytes: int, seed: int = 1) -> Iterator[bytes]:
    """The lines of a dump of at least `total_bytes`, with the brackets and trailing commas of the official layout."""
    maker, written, first = Maker(seed), 2, True
    yield b"[\n"
    while written < total_bytes:
        line = ("" if first else ",\n") + maker.entity()
        first = False
        written += len(line)
        yield line.encode("ascii")
    yield b"\n]\n"


def write(path: Path, total_bytes: int, seed: int = 1) -> None:
    """Writes the dump, uncompressed."""
    with path.open("wb", buffering=1 << 20) as handle:
        handle.writelines(lines(total_bytes, seed))
