"""Whether a text mentions a name: whole words, affixes, cases, family names, scripts without spaces."""

from __future__ import annotations

import pytest

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.text.mentions import MentionRule, mention, surname
from polyfact_dataset.common.text.normalise import normalise

PLAIN = MentionRule()
KOREAN = MentionRule(scripts=("Kore",), suffixes=("은", "는", "의", "에서", "이다"))
TAMIL = MentionRule(scripts=("Taml",), suffixes=("ின்", "வின்"), endings=(("்", ("",)), ("ம்", ("த்தின்",))))
ETHIOPIC = MentionRule(scripts=("Ethi",), prefixes=("የ", "በ"))


def rule_of(code: str) -> MentionRule:
    return language(code).mention_rule


def how(code: str, text: str, name: str, *, person: bool = False) -> str | None:
    return mention(normalise(text), normalise(name), rule_of(code), person=person)


@pytest.mark.parametrize(
    ("code", "text", "name", "found"),
    [
        ("en", "Who manufactured the Nokia 5000?", "Nokia", True),
        ("en", "Who manufactured the ＮＯＫＩＡ 5000?", "Nokia", True),
        ("en", "Who made the Nokias?", "Nokia", False),
        ("en", "Is it in Peru?", "Per", False),
        ("en", "Is Ur a city?", "Ur", False),
        ("en", "In which city is the Urania?", "Ur", False),
        ("en", "Which country is Nigeria Airways from?", "Niger", False),
        ("en", "Peru, Perú", "Perú", True),
        # A digit does not go on with a word, nor a letter with a number.
        ("en", "Who developed the following: AMD64?", "AMD", True),
        ("en", "Who made the iPhone12?", "iPhone", True),
        ("en", "Who wrote ‘1984’?", "1984", True),
        ("en", "Who wrote ‘19841’?", "1984", False),
        ("en", "Who made the Nokia 5000?", "Nokia 5", False),
        ("ru", "Какая столица у Мали?", "Мали", True),
        ("ru", "Где находится Сомали?", "Мали", False),
        ("zh", "日本国有铁道属于哪个国家？", "日本", True),
        ("zh", "日本放送协会位于哪个国家？", "日本", True),
        ("ja", "日本は", "日", False),
        ("ja", "Googleの開発者は誰ですか。", "Google", True),
        ("ja", "Googleの開発者は誰ですか。", "Goo", False),
        ("ja", "Goo検索の開発者は誰ですか。", "Goo", True),
        # Affixes are those of the language, alone or one after the other; others go on with the word.
        ("bn", "নোকিয়ার ফোন", "নোকিয়া", True),
        ("bn", "কোন দেশ ঢাকাতেও অবস্থিত?", "ঢাকা", True),
        ("bn", "মহাঢাকা কোথায়?", "ঢাকা", False),
        ("bn", "ঢাকাই শাড়ি", "ঢাকা", True),
        ("en", "নোকিয়ার ফোন", "নোকিয়া", False),
        ("ar", "في المغرب؟", "مغرب", True),
        ("ar", "ما هي عاصمة بفرنسا؟", "فرنسا", True),
        ("ar", "وبالمغرب", "مغرب", True),
        ("ar", "مغربي", "مغرب", False),
        ("ar", "ما هي لغة فرنساوي؟", "فرنسا", False),
        ("id", "Di manakah Jakartanya?", "Jakarta", True),
        ("sw", "Je, iko Nairobini?", "Nairobi", True),
        ("hi", "ईरानी दूतावास कहाँ है?", "ईरान", True),
        ("hi", "भारतीय रेल किस देश में है?", "भारत", True),
        ("ko", "미국산 소고기는 어디에서 왔나요?", "미국", True),
        ("ko", "미국식 영어는 어느 나라의 말인가요?", "미국", True),
        ("ko", "일본제 자동차는 어디에서 왔나요?", "일본", True),
        ("ko", "위키백과 한국어판의 언어는 무엇인가요?", "한국어", True),
        ("ko", "영어권 문학의 언어는 무엇인가요?", "영어", True),
        ("ko", "프랑스어권 아프리카는 어디인가요?", "프랑스", True),
        # Languages whose countries or languages have names of one or two characters.
        ("vi", "Đại sứ quán Ý nằm ở quốc gia nào?", "Ý", True),
        ("vi", "Nhà thờ Áo, Úc, Bỉ và Mỹ?", "Bỉ", True),
        ("vi", "Cung điện Kỳ Lân?", "Ý", False),
        ("hi", "डच विकिपीडिया की भाषा क्या है?", "डच", True),
        ("hi", "डचेस कौन थी?", "डच", False),
        ("fa", "سفارت چک در کجا است؟", "چک", True),
        ("fa", "چکاد کجا است؟", "چک", False),
        ("ko", "괌의 수도는 어디인가요?", "괌", True),
        ("ko", "남괌의 수도는 어디인가요?", "괌", False),
        ("ko", "괌보는 어디에 있나요?", "괌", False),
    ],
)
def test_a_name_as_it_is(code: str, text: str, name: str, found: bool) -> None:
    assert how(code, text, name) == ("name" if found else None)


@pytest.mark.parametrize(
    ("rule", "text", "name", "found"),
    [
        (KOREAN, "미국의 것입니까 프랑스의 것입니까?", "미국", True),
        (KOREAN, "서울에서는 누가 태어났습니까?", "서울", True),
        (KOREAN, "Nokia는 어느 나라에 있습니까?", "Nokia", True),
        (KOREAN, "남미국가는 어디입니까?", "미국", False),
        (KOREAN, "미는 무엇입니까?", "미", False),
        # A vowel sign takes the place of the virama in which a name ends.
        (TAMIL, "தமிழின் எழுத்து எது?", "தமிழ்", True),
        (TAMIL, "ஜப்பானின் தலைநகரம் எது?", "ஜப்பான்", True),
        (TAMIL, "இந்தியாவின் தலைநகரம் எது?", "இந்தியா", True),
        (TAMIL, "வியட்நாமத்தின் தலைநகரம் எது?", "வியட்நாமம்", True),
        (TAMIL, "தமிழகம் எங்கே?", "தமிழ்", False),
        (ETHIOPIC, "የኢትዮጵያ ዋና ከተማ", "ኢትዮጵያ", True),
        (ETHIOPIC, "የቻድ ዋና ከተማ", "ቻድ", True),
        (PLAIN, "የኢትዮጵያ ዋና ከተማ", "ኢትዮጵያ", False),
        # Scripts without spaces have no boundary, whatever the language says.
        (PLAIN, "ประเทศไทยอยู่ที่ไหน", "ไทย", True),
        (PLAIN, "ទីក្រុងភ្នំពេញនៅឯណា", "ភ្នំពេញ", True),
        (MentionRule(scripts=("Java",), spaced=False), "ꦏꦸꦛꦗꦏꦂꦠꦲꦶꦏꦶ", "ꦗꦏꦂꦠ", True),
        (MentionRule(scripts=("Java",)), "ꦏꦸꦛꦗꦏꦂꦠꦲꦶꦏꦶ", "ꦗꦏꦂꦠ", False),
    ],
)
def test_the_properties_of_a_language_decide(rule: MentionRule, text: str, name: str, found: bool) -> None:
    assert (mention(normalise(text), normalise(name), rule) is not None) is found


@pytest.mark.parametrize(
    ("code", "question", "name", "found"),
    [
        ("de", "Wer regierte den Süden Deutschlands?", "Deutschland", True),
        ("de", "Wer ist Präsident der Vereinigten Staaten?", "Vereinigte Staaten", True),
        ("de", "Welches Land liegt am Ufer des Schwarzen Meeres?", "Schwarzes Meer", True),
        ("de", "Wo steht das Haus des Landes?", "Land", True),
        ("de", "In welcher Sprache erscheint „Die französische Zeitung“?", "Französisch", True),
        ("de", "In welcher Sprache erscheint „Französischer Bote“?", "Französisch", True),
        ("de", "Wer schrieb „In französischem Dienst“?", "Französisch", True),
        ("de", "Wo ist die Deutschlandhalle?", "Deutschland", False),
        ("de", "Wo liegt Romsdal?", "Rom", False),
        ("de", "Wo liegen die Roms?", "Rom", False),
        ("ru", "В каком городе находится университет Москвы?", "Москва", True),
        ("ru", "Где находится Московский вокзал?", "Москва", False),
        ("ru", "Чья столица — столица Саудовской Аравии?", "Саудовская Аравия", True),
        ("ru", "Кто написал учебник русского языка?", "Русский язык", True),
        ("ru", "На каком языке журнал «Французская книга»?", "Французский", True),
        ("ru", "Кто открыл остров Китайка?", "Китай", False),
        ("ru", "Кто правил Китаем?", "Китай", True),
        ("ru", "На каком языке говорят в Нидерландах?", "Нидерланды", True),
        ("ru", "Где родился Римма?", "Рим", False),
        ("fr", "Dans quelle langue est « La Gazette française » ?", "français", True),
        ("fr", "Dans quelle langue est « La Gazette turque » ?", "turc", True),
        ("fr", "Où se trouve la Francie ?", "France", False),
        ("es", "¿Cuál es el idioma de «La novela alemana»?", "alemán", True),
        ("es", "¿Cuál es el idioma de «Cartas españolas»?", "español", True),
        ("pt", "Qual é a língua de «A cozinha portuguesa»?", "português", True),
        ("pt", "Qual é a língua de «A casa alemã»?", "alemão", True),
        ("ar", "من كتب «الأدب الفرنسي»؟", "الفرنسية", True),
        ("ar", "ما عاصمة للمغرب؟", "المغرب", True),
        ("en", "What is Germanys capital?", "Germany", False),
    ],
)
def test_a_name_in_another_form(code: str, question: str, name: str, found: bool) -> None:
    assert how(code, question, name) == ("inflected" if found else None)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Ernest Hemingway", "hemingway"),
        ("Толстой, Лев Николаевич", "толстой"),
        ("Martin Luther King Jr.", "king"),
        ("Martin Luther King, Jr.", "king"),
        ("レフ・トルストイ", "トルストイ"),
        ("列夫·托尔斯泰", "托尔斯泰"),
        ("George Lucas (director)", "lucas"),
        ("William of Ockham", None),
        ("Pliny the Elder", None),
        ("John Paul II", "paul"),
        ("Bruce Lee", None),
        ("Plato", None),
        ("毛泽东", None),
    ],
)
def test_surname(name: str, family: str | None) -> None:
    assert surname(normalise(name)) == family


@pytest.mark.parametrize(
    ("code", "question", "name", "found"),
    [
        ("en", "Who wrote The Hemingway Reader?", "Ernest Hemingway", True),
        ("en", "Who painted Hemingways?", "Ernest Hemingway", False),
        ("ru", "Кто написал «Дневник Толстого»?", "Лев Толстой", True),
        ("de", "Wer schrieb „Hemingways Fest“?", "Ernest Hemingway", True),
        ("ja", "『トルストイ日記』の作者は誰ですか。", "レフ・トルストイ", True),
        ("bn", "টলস্টয়ের ডায়েরি কে লিখেছেন?", "লিও টলস্টয়", True),
        ("en", "Who directed Ernest Saves Christmas?", "Ernest Hemingway", False),
        ("en", "Who wrote Kingdom Come?", "Stephen King", False),
    ],
)
def test_a_question_that_holds_a_family_name(code: str, question: str, name: str, found: bool) -> None:
    assert how(code, question, name, person=True) == ("surname" if found else None)
    assert how(code, question, name) is None


def test_an_occurrence_in_a_longer_word_does_not_hide_a_later_one() -> None:
    assert how("en", "Nigeria borders Niger?", "Niger") == "name"
    assert how("de", "Deutschlandhallen in den Städten Deutschlands", "Deutschland") == "inflected"
