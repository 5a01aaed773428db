"""The handle on a model: read an image and a question, run arms of interventions."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from vlmlib import architecture, checkpoint, engine, oracle, sight
from vlmlib.batched import describe_each
from vlmlib.checks import check, check_exact, check_range
from vlmlib.decoder import Decoder
from vlmlib.decoding import Decoding, Until, check_greedy, describe
from vlmlib.devices import placed_on
from vlmlib.errors import ImageError, LackingError, VLMError
from vlmlib.finite import WIDER, check_finite, check_said
from vlmlib.geometry import Grid, rectangles
from vlmlib.head import Head
from vlmlib.inputs import inputs_of, pictures_of, written_of
from vlmlib.interventions import Arm, Tokens, by_kind, positions
from vlmlib.memory import Memory
from vlmlib.prompts import check_prompt, first_token, joined, written_after
from vlmlib.report import Report
from vlmlib.roles import decoder_of
from vlmlib.selfcheck import (
    check_edits_reach_generated,
    closed_layers,
    given,
    is_causal,
    trying,
    unshared,
)
from vlmlib.sharing import Sharing
from vlmlib.sides import Extent, Sides
from vlmlib.sparse import Sparse
from vlmlib.stimulus import Stimulus

MAX_TOKENS = 16384


class VLM:
    """A vision-language model with its processor: reads an image and a question, runs arms of
    interventions.

    `VLM(model, processor)` wraps live objects; `VLM.load(source)` loads a checkpoint. `prompt` is
    the text around a question, with `<image>` and `{question}` in it; by default the one that the
    paper's authors used for the family, and the processor's chat template where they used none. The
    model is put into evaluation mode, its parameters are frozen, and a small image is run to see
    that interventions reach it and that sharing work between arms is exact.

    - `decoder`: the parts of the language model. `head`: what it makes of normed hidden states.
        `shares`: whether arms share work on a short prompt (see `shares_on`), or run one by one,
        hooked; `unshared`: then why. `causal`: whether no position attends to a later one.
        `memory`: how many positions the device holds, once it has run out. `report()` tells all
        that was found.

    A model may be spread over several devices, as accelerate does it (`device_map`). What is read
    and what is answered is on `device` alone, and goes to each layer's by itself.

    **Raises:** `VLMError` for a model that has no single causal language model fed by placeholder
    tokens, or whose attention is neither `sdpa` nor `eager`, or of which weights are on no device
    (offloaded); for a processor that is not this
    model's; and where the model itself cannot run. Whatever else a library raises while the model
    is tried becomes one that names the step.

    !!! example

        >>> vlm.d_model, len(vlm.layers), vlm.shares
        (16, 2, True)
    """

    def __init__(self, model: PreTrainedModel, processor: Any, prompt: str | None = None):
        placed_on(model)
        with trying(model, "finding its language model"):
            self.decoder = decoder_of(model)
            architecture.check_attention(self.decoder)
            architecture.run_all_positions(self.decoder)
        self.model = model.eval().requires_grad_(False)
        with trying(model, "asking its processor for tokens and a prompt"):
            self.processor = architecture.completed(processor, model)
            self.image_token = architecture.image_token_of(model, processor)
            self.prompt = prompt or architecture.prompt_of(model, processor, sight.noise())
            self._written = written_of(processor, self.image_token, sight.noise())
        check_prompt(self.prompt, at_start=not self._written)
        self._ending = ""  # until it has been tried
        self.seen_past, self.injects = "", list[int]()
        self._layouts: dict[tuple[Grid, ...], str] | None = None  # until they can be tried
        self._untried: dict[tuple[tuple[Grid, ...], tuple[int, int]], str] = {}
        self.has_still, self._movings = False, dict[tuple[int, int], Tensor]()
        self._rectangles: dict[tuple[tuple[int, int], tuple[Grid, ...]], np.ndarray] = {}
        with trying(model, "reading a small picture"):
            stimulus = self._first()
        with trying(model, "running it"):
            architecture.check_runs(model, self.decoder, stimulus.inputs)
        self._stop_ids()
        self.memory, self._generates = Memory(), False  # until it has been tried
        self._felt = list[bool]()  # once tokens that are generated were seen to; copies share it
        with trying(model, "looking at pictures through it"):
            self._look(stimulus)
        with trying(model, "running interventions on it"):
            self._intervene()

    def _first(self) -> Stimulus:
        """A small picture, read; where it cannot be, perhaps for want of the right token."""
        try:
            stimulus = self.read(sight.noise(), "Hi?")
        except VLMError:
            architecture.check_image_token(self.processor, self.image_token, 0)
            raise
        self._ending = written_after(self.processor, sight.noise(), stimulus.prompt)
        return stimulus

    def _look(self, stimulus: Stimulus) -> None:
        """What is seen of pictures, and where."""
        other = self.read(sight.noise(sight.SHAPES[0], seed=1), "Hi?")
        self.injects = oracle.injecting(self.model, self.decoder, stimulus, other)
        moving = torch.cat([sight.moving(self, size) for size in sight.SHAPES])
        if not bool(moving.any()):
            raise VLMError(
                f"{type(self.model).__name__}: all pictures give the same visual tokens. Look at "
                "the settings of the image processor (rescale_factor, image_std), and the weights."
            )
        self.has_still = not bool(moving.all())
        self._layouts = {}
        self.seen_past = sight.seen_past(self)

    def _intervene(self) -> None:
        """What interventions can be trusted, and how they may run."""
        model, stimulus = self.model, self.read(sight.noise(), "Hi?")
        self.causal = is_causal(self.decoder, given(self.decoder, model, stimulus.inputs))
        self.unshared = unshared(model, self.decoder, stimulus)
        if self.injects and not self.unshared:
            self.unshared = "more of the image enters after the embeddings"
        self.head = Head.of(model, self.decoder, stimulus)
        other = self.read(sight.noise(seed=1), "Hi?")
        whole = [replace(each, injected={}) for each in (stimulus, other)]  # nothing is taken away
        self.decoder = replace(self.decoder, closed=closed_layers(model, self.decoder, *whole))
        sides = Sides.of_model(model)
        self._sharing = Sharing(model, self.decoder, stimulus, sides, self._longer)
        self._sparse = Sparse(model, self.decoder, sides)
        self._sparse.on(stimulus)

    @classmethod
    def load(
        cls,
        source: str | PathLike[str],
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        revision: str | None = None,
    ) -> "VLM":
        """Load a checkpoint with its processor: a folder, or an id on the Hugging Face hub.

        No code that a checkpoint brings is run, and nothing of it is unpickled.

        **Arguments:** `device`, `dtype`: where the weights go and in which type ("cuda",
        "bfloat16"; "auto": spread over all accelerators by accelerate, or on the CPU where there is
        none; "4bit": quantised by bitsandbytes); `revision`: branch, tag or commit on the hub.

        **Raises:** `VLMError` if the source is neither, if its files are not whole or not of one
        model, for a device or a type that there is not, and for weights that do not fit.

        !!! example

            >>> VLM.load("fixtures/emoji_llava").layers
            range(0, 8)
        """
        model, processor = checkpoint.load(source, dtype, revision, device)
        try:
            return cls(model, processor)
        except VLMError as error:
            raise VLMError(f"The checkpoint {str(source)!r}: {error}") from error

    @property
    def device(self) -> torch.device:
        """Where stimuli are and answers go: that of the token embedding."""
        return self.decoder.device

    @property
    def devices(self) -> list[torch.device]:
        """All devices that hold weights, which are several of a model that is spread.

        !!! example

            >>> vlm.devices == [vlm.device]
            True
        """
        return placed_on(self.model)

    @property
    def layers(self) -> range:
        """The 0-based indices of the decoder layers."""
        return range(len(self.decoder.layers))

    @property
    def d_model(self) -> int:
        """The width of an embedding in the language model."""
        return self.decoder.d_model

    @property
    def width(self) -> int:
        """How many numbers a visual token is given: its embedding, and as many before each of the
        layers `injects`, where more of the picture is added. `mean_embedding` has so many.

        !!! example

            >>> vlm.width == vlm.d_model * (1 + len(vlm.injects))
            True
        """
        return self.d_model * (1 + len(self.injects))

    @property
    def shares(self) -> bool:
        """Whether arms share work at all; `unshared` says why not.

        !!! example

            >>> vlm.shares
            True
        """
        return not self.unshared

    def shares_on(self, stimulus: Stimulus) -> bool:
        """Whether arms share work on a stimulus, which is tried once for each length and largest
        position id: a model may attend otherwise, or turn its positions otherwise, in a longer one.

        !!! example

            >>> vlm.shares_on(stimulus)
            True
        """
        return self.shares and self._sharing.on(stimulus)

    def unshared_on(self, stimulus: Stimulus) -> str:
        """Why arms do not share work on a stimulus; "" where they do.

        !!! example

            >>> vlm.unshared_on(stimulus)
            ''
        """
        return self.unshared or self._sharing.why_not(stimulus) or ""

    def sparse_on(self, stimulus: Stimulus) -> dict[int, str]:
        """Layers whose attention picks some of the positions of a stimulus, each with the reason
        why `Block` is refused there: others would take the place of those that it removes.

        It is tried when the model is wrapped, and once more for prompts that lie between other
        numbers of its configuration: how many are picked may be one of them.

        !!! example

            >>> vlm.sparse_on(stimulus)
            {}
        """
        return self._sparse.on(stimulus)

    def report(self) -> Report:
        """What the model has and what can be asked of it, each thing tried now on small pictures of
        noise; see `Report`.

        !!! example

            >>> vlm.report().refused
            []
        """
        from vlmlib.findings import findings  # which ask readouts of this class

        return Report(type(self.model).__name__, findings(self))

    def read(
        self, image: Image.Image, question: str, prefill: str = "", suffix: str = ""
    ) -> Stimulus:
        """Turn an image and a question into what the language model receives.

        The language model's input is captured where the model itself hands it over, so nothing of
        the image encoder or of the way in which features replace placeholder tokens is written
        again here.

        **Arguments:** an image, made RGB; a question; `prefill`, the beginning of the model's
        answer ("It is a"); `suffix`, what follows the question in the same turn ("\nAnswer the
        question using a single word or phrase."), a span of its own.

        **Raises:** `ImageError` if the question itself holds an image token, if the image cannot be
        read, or what the model makes of it is not finite; `LackingError` for a prefill after which
        the processor writes more.

        !!! example

            >>> vlm.read(image, "What is on the bed?", prefill="It is a").grid
            (4, 4)
        """
        if not isinstance(image, Image.Image):
            raise VLMError(
                f"read was given {type(image).__name__} as image. "
                "Pass one picture, a PIL.Image.Image."
            )
        own = self.processor.tokenizer.convert_ids_to_tokens(self.image_token)
        for token in ("<image>", str(self.processor.image_token), str(own)):
            if token in question + suffix + prefill:
                raise ImageError(
                    f"The question {question!r} with the prefill {prefill!r} must not hold an "
                    f"image token ({token})."
                )
        if prefill and self._ending:
            raise LackingError(
                f"{type(self.processor).__name__} writes {self._ending!r} after every text, and so "
                f"after the prefill {prefill!r}, which would begin no answer. Ask without one."
            )
        asked = self.prompt.replace("<image>", self._written).replace(
            "{question}", question + suffix
        )
        prompt = joined(asked, prefill)
        inputs = inputs_of(self.processor, image, prompt, self.device, self.model.dtype)
        embeddings, position_ids = self._received(inputs)
        visual = (inputs["input_ids"][0] == self.image_token).nonzero()[:, 0]
        architecture.check_image_token(self.processor, self.image_token, len(visual))
        if self.has_still:
            visual = visual[self._moving(image.size).to(visual.device)]
        grids, unplaced = self._placed(inputs, visual, image.size)
        stimulus = Stimulus(
            prompt=prompt,
            inputs=inputs,
            embeddings=embeddings,
            position_ids=position_ids,
            visual=visual,
            grids=grids,
            image_size=(image.height, image.width),
            image_processor=pictures_of(self.processor),
            unplaced=unplaced,
            question=question,
            suffix=suffix,
            tokenizer=self.processor.tokenizer,
        )
        added = oracle.injected(self.model, self.decoder, stimulus, self.injects)
        return replace(stimulus, injected=added)

    def next_token(
        self, stimulus: Stimulus, arms: Sequence[Arm], max_tokens: int = MAX_TOKENS
    ) -> Float[Tensor, "arm vocab"]:
        """The logits of the next token under every arm, each as if it were alone.

        **Arguments:** a stimulus; arms, each a list of interventions, `[]` for the clean run;
        `max_tokens`: how many positions one forward pass may compute, which bounds memory.

        **Returns:** float `[arm, vocab]`. For `[]` it is bit for bit what the model itself gives.

        **Raises:** `VLMError` for an arm that means nothing on this stimulus (see `Ablate` and
        `Block`); `ImageError` for logits that are not finite.

        !!! example

            >>> zero = Ablate(stimulus.visual, torch.zeros(vlm.d_model))
            >>> vlm.next_token(stimulus, [[], [zero]]).shape[0]
            2
        """
        self.check(stimulus, arms, max_tokens)
        if not arms:
            return stimulus.embeddings.new_empty(0, self.decoder.vocab)
        if self.shares_on(stimulus):
            run = partial(engine.next_token, self._decoder_on(stimulus), stimulus, arms)
            logits = self.memory.within(run, max_tokens, "next token")
        else:
            alone = partial(oracle.next_token, self.model, self.decoder, stimulus)
            logits = torch.stack([alone(arm) for arm in arms])
        check_finite("The logits of the next token", logits, arms)
        return logits

    def describe(
        self,
        stimulus: Stimulus,
        arms: Sequence[Arm],
        max_new_tokens: int = 200,
        until: Until = None,
        max_tokens: int = MAX_TOKENS,
    ) -> list[str]:
        """What the model says under every arm, decoded greedily.

        **Arguments:** as for `next_token`; `max_new_tokens`; `until`: an arm ends once its text
        holds this string, or once this function of its text is true. Its tokens are then the first
        of the whole answer's; a character whose bytes are tokens of their own may be cut (U+FFFD).

        **Returns:** one text per arm, without special tokens.

        **Raises:** `VLMError` for an arm without meaning, where the model's generation settings are
        not greedy, and where its own `generate` cannot run; `ImageError` where logits are not
        finite.

        !!! example

            >>> zero = Ablate(stimulus.visual, torch.zeros(vlm.d_model))
            >>> clean, blind = vlm.describe(stimulus, [[], [zero]], max_new_tokens=5)
            >>> clean.startswith(vlm.describe(stimulus, [[]], 5, until=clean[:2])[0])
            True
        """
        self.check(stimulus, arms, max_tokens)
        decoding = self._decoding(max_new_tokens, until)
        self._check_generated(stimulus, arms, max_new_tokens)
        said = self._said(stimulus, arms, decoding, max_tokens)
        check_said("The logits of a description", said, arms)
        return [decoding.text(ids) for ids in said]

    def describe_each(
        self,
        stimuli: Sequence[Stimulus],
        max_new_tokens: int = 200,
        untils: Sequence[Until] | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> list[str]:
        """What the model says about each of many stimuli when nothing is changed, decoded greedily
        in one batch.

        A text does not depend on the others, bit for bit. In float32 it is that of `describe`; in
        half precision, where two tokens are all but tied, it may be another.

        **Arguments:** as for `describe`; `untils`: when each text ends.

        **Returns:** one text per stimulus, without special tokens.

        **Raises:** `VLMError` where the model's generation settings are not greedy, or its own
        `generate` cannot run; `ImageError` where logits are not finite, that says in which
        description.

        !!! example

            >>> other = vlm.read(image.rotate(90), "Describe the image.")
            >>> texts = vlm.describe_each([stimulus, other], max_new_tokens=5)
            >>> texts == [vlm.describe(each, [[]], 5)[0] for each in (stimulus, other)]
            True
        """
        untils = [None] * len(stimuli) if untils is None else untils
        if len(untils) != len(stimuli):
            raise VLMError(
                f"describe_each was given {len(stimuli)} stimuli and {len(untils)} ends. Pass one "
                "for each, or none."
            )
        decodings = [self._decoding(max_new_tokens, until) for until in untils]
        for stimulus in stimuli:
            self.check(stimulus, [[]], max_tokens)
        asked = list(zip(stimuli, decodings, strict=True))
        together = [text for text, each in enumerate(asked) if self._in_batch(*each)]
        run = partial(
            describe_each,
            self.decoder,
            [stimuli[text] for text in together],
            [decodings[text] for text in together],
        )
        found = self.memory.within(run, max_tokens, "descriptions of many")
        said = dict(zip(together, found, strict=True))
        for text, (stimulus, decoding) in enumerate(asked):
            if text not in said:
                [said[text]] = self._said(stimulus, [[]], decoding, max_tokens)
        for text in range(len(said)):
            check_said(f"The logits of description {text + 1} of {len(said)}", [said[text]], [[]])
        return [decoding.text(said[text]) for text, decoding in enumerate(decodings)]

    def hidden_states(
        self, stimulus: Stimulus, tokens: Tokens, arm: Arm = ()
    ) -> Float[Tensor, "layer token d_model"]:
        """The residual stream at some positions: the embeddings, what enters each later decoder
        layer, and last what leaves the last one. `Ablate` at a layer puts its row back; at layer 0,
        what a model adds of the picture later stands beside the embeddings (`stimulus.injected`).

        **Arguments:** positions in the sequence; the arm under which the model runs.

        **Returns:** float `[layers + 1, token, d_model]`, positions ascending; nothing of it is
        normed.

        **Raises:** `ImageError` where they are not finite.

        !!! example

            >>> vlm.hidden_states(stimulus, stimulus.visual).shape
            torch.Size([3, 16, 16])
        """
        self.check(stimulus, [arm])
        at = positions(tokens)
        check_range("hidden_states: position", at, len(stimulus.embeddings))
        hidden = oracle.hidden_states(self.model, self.decoder, stimulus, at, arm)
        check_finite("The hidden states", hidden[None], [arm])
        return hidden

    def first_token(self, stimulus: Stimulus, answer: str) -> int:
        """The id of the first piece of an answer, as the model would produce it after this prompt.

        !!! example

            >>> vlm.processor.tokenizer.decode(vlm.first_token(stimulus, "book"))
            'book'
        """
        return first_token(self.processor.tokenizer, stimulus.prompt + self._ending, answer)

    def rectangles(self, stimulus: Stimulus) -> Float[np.ndarray, "token side"]:
        """Which part of the image each visual token shows, as left, top, right and bottom in shares
        of the image's sides; NaN for one that shows only padding. Read off the image processor,
        once for each size of images.

        **Raises:** `LackingError` where it is not known where this model's visual tokens are.

        !!! example

            >>> vlm.rectangles(stimulus).shape
            (16, 4)
        """
        key = stimulus.image_size, tuple(stimulus.grids)
        if stimulus.unplaced:
            raise LackingError(stimulus.unplaced)
        if key not in self._rectangles:
            found = rectangles(stimulus.image_processor, stimulus.image_size, stimulus.grids)
            self._rectangles[key] = np.concatenate([each.reshape(-1, 4) for each in found])
        return self._rectangles[key]

    def _moving(self, size: tuple[int, int]) -> Bool[Tensor, " placeholder"]:
        """Which placeholders of a picture of this size show anything: no picture moves the others,
        such as those that end a row."""
        if size not in self._movings:
            self._movings[size] = sight.moving(self, size)
        return self._movings[size]

    def _received(
        self, inputs: dict[str, Any]
    ) -> tuple[Float[Tensor, "seq d_model"], Int[Tensor, "*axes seq"]]:
        """The embeddings that the language model is given, and their position ids."""
        received = architecture.decoder_input(self.model, self.decoder, inputs)
        if received.get("inputs_embeds") is None:
            raise VLMError(
                f"{type(self.model).__name__} has no image encoder, or gives its language model "
                "the picture itself, and none of its embeddings, so that they cannot be read. "
                f"{architecture.USE}"
            )
        embeddings = received["inputs_embeds"][0]
        if not bool(torch.isfinite(embeddings).all()):
            raise ImageError(f"The embeddings of this image and question are not finite. {WIDER}")
        position_ids = received.get("position_ids")
        if position_ids is None:
            position_ids = torch.arange(len(embeddings))[None]
        return embeddings, position_ids.to(self.device)

    def _placed(
        self, inputs: dict[str, Tensor], visual: Int[Tensor, " token"], size: tuple[int, int]
    ) -> tuple[list[Grid], str]:
        """The grids of the visual tokens; or none, and why. Each kind of layout (one view, or
        several of such grids) is tried on the first picture that has it, by one of its size."""
        try:
            found = architecture.grids_of(inputs, visual, self.processor.image_processor)
        except VLMError as error:
            return [], str(error)
        if self._layouts is None:
            return found, ""
        kind = tuple(found) if len(found) > 1 else ()
        if (kind, size) in self._untried:
            return found, self._untried[kind, size]
        if kind not in self._layouts:
            self._layouts[kind] = ""  # while it is tried, by pictures that are read here, too
            try:
                self._layouts[kind] = sight.misplaced(self, size)
            except (ImageError, LackingError) as error:  # of this size; others may tell
                del self._layouts[kind]
                self._untried[kind, size] = str(error)
                return found, str(error)
        return found, self._layouts[kind]

    def check(self, stimulus: Stimulus, arms: Sequence[Arm], max_tokens: int = 1) -> None:
        """See that arms mean something on a stimulus, and on this model.

        **Raises:** `VLMError` for one that does not, `LackingError` for one that the model cannot
        be asked for.

        !!! example

            >>> vlm.check(stimulus, [[Ablate(stimulus.visual, torch.zeros(vlm.d_model))]])
        """
        if max_tokens < 1:
            raise VLMError(
                f"max_tokens is {max_tokens}. Allow at least one position in a forward pass."
            )
        for arm in arms:
            check(arm, len(stimulus.input_ids), self.decoder, self.causal, self.width)
            if any(by_kind(arm)[1:]):
                check_exact(arm, self.sparse_on(stimulus))
            if self.seen_past:
                self._check_sight(stimulus, arm)

    def _check_sight(self, stimulus: Stimulus, arm: Arm) -> None:
        visual = set(stimulus.visual.tolist())
        if any(visual & set(each.tokens) for each in by_kind(arm)[0]):
            raise LackingError(self.seen_past)

    def _check_generated(
        self, stimulus: Stimulus, arms: Sequence[Arm], max_new_tokens: int
    ) -> None:
        """Whether blocks of `GENERATED` do what they say, up to the last token."""
        blocks = [each for arm in arms for each in by_kind(arm)[2]]
        if not blocks:
            return
        if not self._felt:
            with trying(self.model, "removing attention edges into tokens that it generates"):
                probe = self.read(sight.noise(), "Hi?")
                check_edits_reach_generated(self.model, self.decoder, probe)
            self._felt.append(True)
        for grown in self._sharing.grown(stimulus, max_new_tokens):
            check_exact(blocks, self.sparse_on(grown))

    def _decoder_on(self, stimulus: Stimulus) -> Decoder:
        return replace(self.decoder, prefix_alone=self._sharing.prefix_alone(stimulus))

    def _said(
        self, stimulus: Stimulus, arms: Sequence[Arm], decoding: Decoding, max_tokens: int
    ) -> list[list[int]]:
        """The ids that each arm says."""
        if self.shares and self._sharing.in_texts(stimulus, decoding):
            run = partial(describe, self._decoder_on(stimulus), stimulus, arms, decoding)
            return self.memory.within(run, max_tokens, "description")
        alone = partial(oracle.describe, self.model, self.decoder, stimulus)
        return [alone(arm, decoding) for arm in arms]

    def _in_batch(self, stimulus: Stimulus, decoding: Decoding) -> bool:
        """Whether a text may be said in a batch with others."""
        last = Extent.of(stimulus).longer(by=decoding.max_new_tokens).ids
        shares = self.shares and self._sharing.in_texts(stimulus, decoding)
        return shares and self._sharing.in_batch(stimulus, last)

    def _longer(self, length: int) -> Stimulus:
        """A small image with a question that makes it at least so long."""
        short, word = self.read(sight.noise(), "Hi?"), " Hi?"
        tokens = len(self.read(sight.noise(), "Hi?" + word).embeddings) - len(short.embeddings)
        repeats = -(-(length - len(short.embeddings)) // max(tokens, 1))
        return self.read(sight.noise(), "Hi?" + word * max(repeats, 1))

    def _decoding(self, max_new_tokens: int, until: Until) -> Decoding:
        check_greedy(self.model.generation_config)
        if max_new_tokens < 1:
            raise VLMError(f"{max_new_tokens} new tokens were asked for. Ask for at least one.")
        if not self._generates:
            with trying(self.model, "describing a small picture by its own generate"):
                oracle.spoken(self.model, self.decoder, self.read(sight.noise(), "Hi?"), [], 2)
            self._generates = True
        return Decoding(self.processor.tokenizer, self._stop_ids(), max_new_tokens, until)

    def _stop_ids(self) -> set[int]:
        settings = self.model.generation_config
        stop = settings.eos_token_id if settings else None
        if stop is None:
            return set()
        ids = stop if isinstance(stop, list) else [stop]
        if not all(isinstance(each, int) and 0 <= each < self.decoder.vocab for each in ids):
            raise VLMError(
                f"The model's generation_config has eos_token_id={stop!r}; expected ids of its "
                f"vocabulary, 0 to {self.decoder.vocab - 1}, or no description would end. Take "
                "the generation_config.json that was saved with this model."
            )
        return set(ids)
