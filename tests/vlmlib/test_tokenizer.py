"""The shipped tokenizer: of Llama's construction, and can the first piece of an answer be told from
every other?"""

import pytest

from fixtures.emoji_coco.scenes import NAMES
from fixtures.emoji_llava.architecture import build_tokenizer

TOKENIZER = build_tokenizer()


def pieces(text: str) -> list[str]:
    found = TOKENIZER.convert_ids_to_tokens(TOKENIZER(text)["input_ids"])
    assert isinstance(found, list)
    return found


def test_it_begins_a_sequence_and_marks_leading_spaces():
    """It begins with the begin of sequence token and marks leading spaces."""
    assert pieces("USER: <image>\nIs there a book") == [
        *["<s>", "▁USER", ":", "▁", "<image>", "▁", "<0x0A>", "Is", "▁there", "▁a", "▁book"]
    ]


@pytest.mark.parametrize("text", ["é", "漢字", "\t", "😀"])
def test_unknown_characters_fall_back_to_bytes_and_come_back(text):
    assert "<unk>" not in pieces(text)
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"], skip_special_tokens=True) == text


def test_names_have_one_piece_or_several_and_all_first_pieces_differ():
    split = {name: pieces(f"a {name}")[2:] for name in NAMES}
    assert {len(each) for each in split.values()} >= {1, 2}
    assert len({each[0] for each in split.values()}) == len(NAMES)
    assert all(
        TOKENIZER.decode(TOKENIZER(name)["input_ids"], skip_special_tokens=True) == name
        for name in NAMES
    )
