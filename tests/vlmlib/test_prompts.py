"""With which token an answer begins, for each way in which tokenizers treat the space before a
word.

Oracles: the piece by name, and that prompt and piece together read as a beginning of prompt and
answer. Fails if the space before a word is lost or doubled, or if a token that the tokenizer adds
by itself is taken for the answer.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from tests.tiny import byte_level_tokenizer, tiny_processor
from vlmlib import VLMError
from vlmlib.prompts import first_token, joined


def adding(pattern: str, token: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE that adds a special token before or after a text."""
    tokenizer = byte_level_tokenizer()
    special = [(token, tokenizer.convert_tokens_to_ids(token))]
    tokenizer.backend_tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=pattern, special_tokens=special),
        ]
    )
    assert special[0][1] in tokenizer("dog")["input_ids"]
    return tokenizer


SENTENCE_PIECE = tiny_processor().tokenizer
BYTE_LEVEL = byte_level_tokenizer()
BEGINS = adding("<|endoftext|> $A", "<|endoftext|>")
ENDS = adding("$A <|im_end|>", "<|im_end|>")
TOKENIZERS = {
    "SentencePiece": SENTENCE_PIECE,
    "byte-level": BYTE_LEVEL,
    "begins": BEGINS,
    "ends": ENDS,
}
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS.keys())


@pytest.mark.parametrize(
    ("prompt", "answer", "piece"),
    [
        ("USER: <image>\nHi? ASSISTANT:", "Yes", "▁Yes"),
        ("ASSISTANT: It is a", "book", "▁book"),
        ("ASSISTANT: It is a", " book ", "▁book"),
        ("ASSISTANT: It is a", "banana", "▁ba"),
        ("ASSISTANT: It is a", "traffic light", "▁traffic"),
        ("USER: <image>\n", "Is", "Is"),
        ("ASSISTANT: ", "Is", "Is"),
    ],
)
def test_a_sentence_piece_holds_the_space_before_it(prompt, answer, piece):
    assert (
        SENTENCE_PIECE.convert_ids_to_tokens(first_token(SENTENCE_PIECE, prompt, answer)) == piece
    )


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, BEGINS, ENDS], ids=["plain", "begins", "ends"])
@pytest.mark.parametrize(
    ("prompt", "answer", "piece"),
    [
        ("<|im_start|>assistant\n", "Yes", "Yes"),
        ("<|im_start|>assistant\n", "dog", "dog"),
        ("<|im_start|>assistant\nIt is a", "book", "Ġbook"),
        ("<|im_start|>assistant\nIt is a ", "dog", "dog"),
        ("<|im_start|>assistant\n\n", "Yes", "Yes"),
        ("<|vision_end|>", "book", "Ġbook"),
    ],
)
def test_byte_level_pieces_hold_a_space_after_a_word_alone(tokenizer, prompt, answer, piece):
    """Byte level pieces hold a space after a word and none after a line end."""
    assert tokenizer.convert_ids_to_tokens(first_token(tokenizer, prompt, answer)) == piece


WORDS = ["dog", "Yes", "book", "traffic light", "banana", "It is a", "x", "42", "a-b", "Who?"]
ENDINGS = ["", " ", "\n", "\n\n", "  ", ":", ": "]


@every_tokenizer
@settings(max_examples=80, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    ending=st.sampled_from(ENDINGS),
    data=st.data(),
)
def test_prompt_and_piece_read_as_a_beginning_of_prompt_and_answer(tokenizer, words, ending, data):
    prompt, answer = " ".join(words) + ending, data.draw(st.sampled_from(WORDS))
    piece = first_token(tokenizer, prompt, answer)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    read, before = tokenizer.decode([*ids, piece]), tokenizer.decode(ids)
    assert joined(prompt, answer).startswith(read)
    assert len(read) > len(before)


@every_tokenizer
@settings(max_examples=40, deadline=None)
@given(prompt=st.sampled_from(WORDS), answer=st.sampled_from(WORDS))
def test_it_is_what_follows_the_prompt_when_both_are_read_as_one_text(tokenizer, prompt, answer):
    pieces = tokenizer(f"{prompt} {answer}", add_special_tokens=False)["input_ids"]
    read = [tokenizer.decode(pieces[:count]) for count in range(len(pieces) + 1)]
    assert first_token(tokenizer, prompt, answer) == pieces[read.index(prompt)]


@every_tokenizer
@pytest.mark.parametrize("answer", ["", " ", "\n"])
@pytest.mark.parametrize("prompt", ["It is a", "assistant\n", "It is a "])
def test_an_answer_without_a_token_is_refused(tokenizer, prompt, answer):
    with pytest.raises(VLMError, match="The answer '' is no token at all"):
        first_token(tokenizer, prompt, answer)


@pytest.mark.parametrize(
    ("prompt", "whole"), [("a:", "a: dog"), ("a: ", "a: dog"), ("a\n", "a\ndog"), ("a\t", "a\tdog")]
)
def test_one_space_joins_unless_white_space_stands_there(prompt, whole):
    assert joined(prompt, "dog") == whole
    assert joined(prompt, "") == prompt
