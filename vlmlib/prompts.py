"""How an answer follows a prompt: as text, and with which token it begins."""

from typing import Any

from vlmlib.errors import VLMError


def joined(prompt: str, continuation: str) -> str:
    """A prompt and what follows it, with a space between them unless the prompt ends in white
    space.

    !!! example

        >>> joined("ASSISTANT:", "It is a"), joined("assistant\\n", "It is a")
        ('ASSISTANT: It is a', 'assistant\\nIt is a')
    """
    needs_space = continuation and not prompt[-1:].isspace()
    return f"{prompt} {continuation}" if needs_space else prompt + continuation


def first_token(tokenizer: Any, prompt: str, answer: str) -> int:
    """The id of the first piece of an answer, as a model would have to produce it after this
    prompt.

    Prompt and answer are read as one text, and the prompt's own pieces taken off: right for pieces
    that hold the space before a word (SentencePiece, byte-level BPE), and never a special token
    that the tokenizer adds.

    **Raises:** `VLMError` for an answer that is no token at all.

    !!! example

        >>> tokenizer = vlm.processor.tokenizer
        >>> tokenizer.convert_ids_to_tokens(first_token(tokenizer, "ASSISTANT:", "book"))
        '▁book'
    """

    def pieces(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    answer = answer.strip()
    before, after = pieces(prompt), pieces(joined(prompt, answer))
    if after[: len(before)] != before:
        # the answer melts into the prompt's last piece, which stands already; after a line end it
        # stands by itself
        before, after = pieces("\n"), pieces(f"\n{answer}")
    if len(after) <= len(before):
        raise VLMError(
            f"The answer {answer!r} is no token at all. Ask for a text that the tokenizer knows."
        )
    return after[len(before)]
