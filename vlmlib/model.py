"""The handle on a model: read an image and a question, run arms of interventions."""

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from vlmlib import architecture, checkpoint, engine, oracle
from vlmlib.checks import check, check_range
from vlmlib.decoding import Decoding, check_greedy, describe
from vlmlib.errors import VLMError
from vlmlib.interventions import Arm, Tokens, positions
from vlmlib.prompts import first_token, joined
from vlmlib.selfcheck import sharing_is_exact
from vlmlib.stimulus import Stimulus

MAX_TOKENS = 16384
# What PIL and image processors raise for a broken or an impossible picture.
UNREADABLE = (OSError, ValueError, SyntaxError, ZeroDivisionError, Image.DecompressionBombError)


class VLM:
    """A vision-language model with its processor: reads an image and a question, runs arms of
    interventions.

    `VLM(model, processor)` wraps live objects; `VLM.load(source)` loads a checkpoint. `prompt` is
    the text around a question, with `<image>` and `{question}` in it; by default the one that the
    paper's authors used for the family, and the processor's chat template where they used none. The
    model is put into evaluation mode, its parameters are frozen, and a small image is run to see
    that interventions reach it and that sharing work between arms is exact.

    - `decoder`: the parts of the language model. `shares`: whether arms share work, or run one by
        one, hooked.

    **Raises:** `VLMError` for a model that has no single causal language model fed by placeholder
    tokens, or whose attention is neither `sdpa` nor `eager`.

    !!! example

        >>> vlm.d_model, len(vlm.layers), vlm.shares
        (16, 2, True)
    """

    def __init__(self, model: PreTrainedModel, processor: Any, prompt: str | None = None):
        self.decoder = architecture.decoder_of(model)
        self.model = model.eval().requires_grad_(False)
        self.processor = architecture.completed(processor, model.config)
        self.prompt = prompt or architecture.prompt_of(model, processor)
        if self.prompt.count("<image>") != 1 or self.prompt.count("{question}") != 1:
            raise VLMError(
                f"The prompt {self.prompt!r} must hold <image> and {{question}}, each exactly once."
            )
        self.shares = sharing_is_exact(model, self.decoder, self.read(_noise(), "Hi?"))

    @classmethod
    def load(
        cls,
        source: str | PathLike[str],
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        revision: str | None = None,
    ) -> "VLM":
        """Load a checkpoint with its processor: a folder, or an id on the Hugging Face hub.

        **Arguments:** `device`, `dtype`: where the weights go and in which type ("cuda",
        "bfloat16"); `revision`: branch, tag or commit on the hub.

        **Raises:** `VLMError` if the source is neither, or lacks its configuration, weights or
        processor.

        !!! example

            >>> VLM.load("fixtures/emoji_llava").layers
            range(0, 8)
        """
        model, processor = checkpoint.load(source, dtype, revision)
        return cls(model.to(device), processor)  # pyright: ignore[reportArgumentType]

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def layers(self) -> range:
        """The 0-based indices of the decoder layers."""
        return range(len(self.decoder.layers))

    @property
    def d_model(self) -> int:
        """The width of an embedding in the language model."""
        return self.decoder.d_model

    def read(self, image: Image.Image, question: str, prefill: str = "") -> Stimulus:
        """Turn an image and a question into what the language model receives.

        The language model's input is captured where the model itself hands it over, so nothing of
        the image encoder or of the way in which features replace placeholder tokens is written
        again here.

        **Arguments:** an image, made RGB; a question; `prefill`, the beginning of the model's
        answer ("It is a").

        **Raises:** `VLMError` if the question itself holds an image token, or the image cannot be
        read.

        !!! example

            >>> vlm.read(image, "What is on the bed?", prefill="It is a").grid
            (4, 4)
        """
        if not isinstance(image, Image.Image):
            raise VLMError(
                f"read was given {type(image).__name__} as image. "
                "Pass one picture, a PIL.Image.Image."
            )
        token = self.processor.image_token
        if any(each in question + prefill for each in ("<image>", token)):
            raise VLMError(
                f"The question {question!r} with the prefill {prefill!r} must not hold an image "
                f"token ({token})."
            )
        asked = self.prompt.replace("<image>", token).replace("{question}", question)
        prompt = joined(asked, prefill)
        inputs = self._inputs(image, prompt)
        received = architecture.decoder_input(self.model, self.decoder, inputs)
        embeddings = received["inputs_embeds"][0]
        if not bool(torch.isfinite(embeddings).all()):
            raise VLMError(
                "The embeddings of this image and question are not finite. "
                "Check the weights and their type."
            )
        position_ids = received.get("position_ids")
        if position_ids is None:
            position_ids = torch.arange(len(embeddings), device=self.device)[None]
        visual = architecture.visual_of(self.model, inputs["input_ids"][0])
        return Stimulus(
            prompt=prompt,
            inputs=inputs,
            embeddings=embeddings,
            position_ids=position_ids,
            visual=visual,
            grid=architecture.grid_of(inputs, len(visual), self.processor.image_processor),
            image_size=(image.height, image.width),
            image_processor=self.processor.image_processor,
        )

    def next_token(
        self, stimulus: Stimulus, arms: Sequence[Arm], max_tokens: int = MAX_TOKENS
    ) -> Float[Tensor, "arm vocab"]:
        """The logits of the next token under every arm, each as if it were alone.

        **Arguments:** a stimulus; arms, each a list of interventions, `[]` for the clean run;
        `max_tokens`: how many positions one forward pass may compute, which bounds memory.

        **Returns:** float `[arm, vocab]`. For `[]` it is bit for bit what the model itself gives.

        **Raises:** `VLMError` for an arm that means nothing on this stimulus (see `Ablate` and
        `Block`).

        !!! example

            >>> zero = Ablate(stimulus.visual, torch.zeros(vlm.d_model))
            >>> vlm.next_token(stimulus, [[], [zero]]).shape[0]
            2
        """
        self._check(stimulus, arms, max_tokens)
        if not arms:
            return stimulus.embeddings.new_empty(0, self.decoder.vocab)
        if self.shares:
            return engine.next_token(self.decoder, stimulus, arms, max_tokens)
        return torch.stack(
            [oracle.next_token(self.model, self.decoder, stimulus, arm) for arm in arms]
        )

    def describe(
        self,
        stimulus: Stimulus,
        arms: Sequence[Arm],
        max_new_tokens: int = 200,
        until: str | Callable[[str], bool] | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> list[str]:
        """What the model says under every arm, decoded greedily.

        **Arguments:** as for `next_token`; `max_new_tokens`; `until`: an arm ends once its text
        holds this string, or once this function of its text is true. Its tokens are then the first
        of the whole answer's; a character whose bytes are tokens of their own may be cut (U+FFFD).

        **Returns:** one text per arm, without special tokens.

        **Raises:** `VLMError` for an arm without meaning, and where the model's generation settings
        are not greedy.

        !!! example

            >>> zero = Ablate(stimulus.visual, torch.zeros(vlm.d_model))
            >>> clean, blind = vlm.describe(stimulus, [[], [zero]], max_new_tokens=5)
            >>> clean.startswith(vlm.describe(stimulus, [[]], 5, until=clean[:2])[0])
            True
        """
        self._check(stimulus, arms, max_tokens)
        check_greedy(self.model.generation_config)
        if max_new_tokens < 1:
            raise VLMError(
                f"describe was asked for {max_new_tokens} new tokens. Ask for at least one."
            )
        decoding = Decoding(self.processor.tokenizer, self._stop_ids(), max_new_tokens, until)
        if self.shares:
            said = describe(self.decoder, stimulus, arms, decoding, max_tokens)
        else:
            alone = partial(oracle.describe, self.model, self.decoder, stimulus)
            said = [alone(arm, decoding) for arm in arms]
        return [decoding.text(ids) for ids in said]

    def hidden_states(
        self, stimulus: Stimulus, tokens: Tokens, arm: Arm = ()
    ) -> Float[Tensor, "layer token d_model"]:
        """The residual stream at some positions: what enters each decoder layer, and last what
        leaves the last one.

        **Arguments:** positions in the sequence; the arm under which the model runs.

        **Returns:** float `[layers + 1, token, d_model]`, positions ascending; nothing of it is
        normed.

        !!! example

            >>> vlm.hidden_states(stimulus, stimulus.visual).shape
            torch.Size([3, 16, 16])
        """
        self._check(stimulus, [arm])
        check_range("hidden_states: position", positions(tokens), len(stimulus.embeddings))
        return oracle.hidden_states(self.model, self.decoder, stimulus, positions(tokens), arm)

    def first_token(self, stimulus: Stimulus, answer: str) -> int:
        """The id of the first piece of an answer, as the model would produce it after this prompt.

        !!! example

            >>> vlm.processor.tokenizer.decode(vlm.first_token(stimulus, "book"))
            'book'
        """
        return first_token(self.processor.tokenizer, stimulus.prompt, answer)

    def _inputs(self, image: Image.Image, prompt: str) -> dict[str, Tensor]:
        """What the processor makes of an image and a prompt, on the model's device."""
        try:
            inputs = self.processor(images=image.convert("RGB"), text=prompt, return_tensors="pt")
        except UNREADABLE as error:
            size = f"{image.width} x {image.height}"
            raise VLMError(
                f"An image of {size} pixels could not be processed: {error}. Check the file."
            ) from error
        return dict(inputs.to(self.device))

    def _check(self, stimulus: Stimulus, arms: Sequence[Arm], max_tokens: int = 1) -> None:
        if max_tokens < 1:
            raise VLMError(
                f"max_tokens is {max_tokens}. Allow at least one position in a forward pass."
            )
        for arm in arms:
            check(arm, len(stimulus.input_ids), self.decoder, causal=self.shares)

    def _stop_ids(self) -> set[int]:
        settings = self.model.generation_config
        stop = settings.eos_token_id if settings else None
        if stop is None:
            return set()
        return set(stop) if isinstance(stop, list) else {stop}


def _noise() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, size=(40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
