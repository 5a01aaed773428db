"""The lexicon: which decoded tokens are a piece of a word, and whether the shipped words let
nothing else count.

`names` is compared with what hypothesis builds to be a piece or none. The shipped words are checked
one by one: a word that begins like its category, like another category or like an everyday word
would let that one count as evidence.
"""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from claims.neo2025.lexicon import LEXICON_FILE, load_lexicon, names
from vlmlib import VLMError

LEXICON = load_lexicon()
LISTS = [
    (category, words)
    for category, e in LEXICON.items()
    for words in (e.specific, e.other_languages)
]
WORDS = sorted({word for _, words in LISTS for word in words if word.isalpha()})
PIECES = st.builds(lambda word, n: word[:n], st.sampled_from(WORDS), st.integers(1, 6))
CHINESE_JAPANESE_KOREAN = r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
COCO = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee,
skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana,
apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair,
couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush"""
EVERYDAY = """the and for are was not but you all any can had has have her him his how its our out
get may new now old see two who did let say she too use from that this with when
then they there what four three one men man per put off own very come must like than
les las los una por para und der die das mit was wie сам чем что это для при под над
без про или 一 三 不 了 是 的 我 在 有 他 这 来 上 个 中 大 小 自 手 水 火 花 长 红
は が を に の と も か へ や で 가 의 고 도 와 나 은 는 이 을 를 에 로 그 한"""
GOOD = """
[dog]
specific = ["poodle", "paws"]
other_languages = ["狗", "Hund"]
"""


def least(word: str) -> int:
    return 1 if re.match(CHINESE_JAPANESE_KOREAN, word) else 3


@given(st.sampled_from(WORDS), st.data())
def test_a_piece_that_is_long_enough_always_counts(word, data):
    piece = word[: data.draw(st.integers(least(word), len(word)))]
    piece = data.draw(
        st.sampled_from([piece, piece.upper(), piece.title(), unicodedata.normalize("NFD", piece)])
    )
    before = data.draw(st.sampled_from(["", " ", "\u2581", "\u2581\u2581", "\n"]))
    after = data.draw(st.sampled_from(["", " "]))
    assert names(before + piece + after, ["xyz", word, "qqq"])


@given(st.sampled_from([word for word in WORDS if least(word) == 3]), st.integers(0, 2))
def test_fewer_than_three_letters_never_count(word, n):
    assert not names(word[:n], [word])


@given(st.sampled_from(WORDS), st.integers(1, 5), st.integers(1, 20))
def test_a_piece_from_within_a_word_never_counts(word, start, n):
    piece = word[start : start + n]
    assume(not word.casefold().startswith(piece.casefold()))
    assert not names(piece, [word])


@given(st.sampled_from(WORDS), st.text(alphabet="abcdeжид犬수カ", min_size=1, max_size=4))
def test_a_longer_text_that_only_begins_with_a_word_never_counts(word, rest):
    assert not names(word + rest, [word])


@given(st.text(max_size=6) | PIECES, st.lists(st.sampled_from(WORDS)))
def test_text_that_starts_no_word_never_counts(text, words):
    piece = text.replace("\u2581", " ").strip().casefold()
    assume(not piece or not any(word.casefold().startswith(piece) for word in words))
    assert not names(text, words)


@given(st.text(alphabet=st.characters(categories=("N", "P", "S")), min_size=1, max_size=5))
def test_digits_and_signs_never_count_even_where_a_word_holds_them(text):
    assume("\u2581" not in text)
    assert not names(text, [text, text + "abc"])
    assert not names("abc" + text, ["abc" + text])


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u2581", "\ufffd", "狗\ufffd", "\ufffd狗", "7", "123", "...", "d-i", "fire e"],
)
def test_what_is_no_whole_piece_of_letters_never_counts(text):
    assert not names(text, [text, text.strip(), "狗", "d-iamond", "fire engine"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("swe", "sweater"),
        (" Diam", "diamond"),
        ("\u2581лыж", "лыжи"),
        ("고", "고양이"),
        ("고양", "고양이"),
        ("カ", "カップ"),
        ("い", "いぬ"),
        ("苹", "苹果"),
        ("sac", "sac à dos"),
        ("BÄR", "Bär"),
        ("Strass", "Straße"),
    ],
)
def test_the_papers_pieces_and_one_of_every_script(text, word):
    assert names(text, [word])


def test_every_category_of_coco_has_both_lists():
    assert list(LEXICON) == [" ".join(name.split()) for name in COCO.split(",")]
    assert len(LEXICON) == 80
    for category, entry in LEXICON.items():
        assert 5 <= len(entry.specific) <= 12, category
        assert entry.other_languages, category


def test_every_word_stands_once_and_can_count():
    """In lower case where it is English."""
    for category, words in LISTS:
        assert len({word.casefold() for word in words}) == len(words), category
        assert all(names(re.split(r"\W", word)[0], [word]) for word in words), category
    english = [word for entry in LEXICON.values() for word in entry.specific]
    assert [word for word in english if not re.fullmatch("[a-z]+", word)] == []


def beginning(word: str) -> str:
    """The first three letters without accents, so that a cognate is known in spite of them."""
    letters = unicodedata.normalize("NFD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))[:3]


def test_no_word_begins_with_the_three_letters_of_its_category():
    for category, words in LISTS:
        taken = {beginning(part) for part in category.split()}
        assert [word for word in words if beginning(word) in taken] == [], category


def test_no_token_is_a_piece_of_both_lists_of_a_category():
    for category, entry in LEXICON.items():
        specific = {beginning(word) for word in entry.specific}
        assert [word for word in entry.other_languages if beginning(word) in specific] == [], (
            category
        )


def test_no_word_of_any_categorys_name_counts():
    parts = {part for category in LEXICON for part in category.split()}
    assert {
        (category, part) for category, words in LISTS for part in parts if names(part, words)
    } == set()


def test_no_everyday_word_counts():
    assert {
        (category, text)
        for category, words in LISTS
        for text in EVERYDAY.split()
        if names(text, words)
    } == set()


def test_no_name_in_another_language_is_a_piece_of_another_categorys():
    shared = {
        (name, one, other)
        for one in LEXICON
        for other in LEXICON
        if one != other
        for name in LEXICON[one].other_languages
        if names(name, LEXICON[other].other_languages)
        and name not in LEXICON[other].other_languages
    }
    assert shared == set()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('specific = ["poodle", "paws"]\n', "", r"\[dog\]: key 'specific' is missing"),
        ("other_languages", "languages", r"\[dog\]: key 'languages' is unknown"),
        (
            '["poodle", "paws"]',
            '"poodle"',
            r"\[dog\]: specific is 'poodle'; expected a list of one or more words",
        ),
        ('["poodle", "paws"]', "[]", r"\[dog\]: specific is \[\]; expected a list"),
        ('"paws"', "3", r"\[dog\]: specific is \['poodle', 3\]; expected a list"),
        ('"paws"', '"pa"', r"\[dog\]: no token can be a piece of 'pa' in specific"),
        ('"paws"', '"K-9 dog"', r"\[dog\]: no token can be a piece of 'K-9 dog' in specific"),
        ('"paws"', '""', r"\[dog\]: no token can be a piece of '' in specific"),
        (
            '"Hund"',
            '"犬\ufffd", "\ufffd"',
            r"\[dog\]: no token can be a piece of '\ufffd' in other_languages",
        ),
        ('"paws"', '"Doggy"', r"\[dog\]: 'Doggy' in specific begins as 'dog' does"),
        ("[dog]", '["big poo"]', r"\[big poo\]: 'poodle' in specific begins as 'poo' does"),
        ('"Hund"', '"dogo"', r"\[dog\]: 'dogo' in other_languages begins as 'dog' does"),
        ('"Hund"', '"Pawel"', r"\[dog\]: 'Pawel' in other_languages begins as 'paws' does"),
        ("[dog]", "cat = 3\n[dog]", r"\[cat\]: is 3; expected a table"),
        ("[dog]", "[dog", "cannot be read as TOML"),
    ],
)
def test_a_broken_file_names_the_entry_and_what_is_wrong(tmp_path: Path, old, new, message):
    good, broken = tmp_path / "good.toml", tmp_path / "lexicon.toml"  # a file is read once
    good.write_text(GOOD, encoding="utf-8")
    assert load_lexicon(good)["dog"].other_languages == ("狗", "Hund")
    assert GOOD.count(old) == 1
    broken.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(VLMError, match=message) as error:
        load_lexicon(broken)
    assert "lexicon.toml" in str(error.value)


def test_a_file_that_is_missing_or_in_another_encoding_is_named(tmp_path: Path):
    file = tmp_path / "lexicon.toml"
    with pytest.raises(VLMError, match=r"lexicon\.toml' cannot be read as TOML"):
        load_lexicon(file)
    file.write_text(GOOD, encoding="utf-16")
    with pytest.raises(VLMError, match=r"lexicon\.toml' cannot be read as TOML"):
        load_lexicon(file)


def test_each_category_takes_three_lines():
    tables = LEXICON_FILE.read_text(encoding="utf-8").split("\n\n[")[1:]
    assert {len(table.strip().splitlines()) for table in tables} == {3}
