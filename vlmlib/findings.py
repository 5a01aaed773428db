"""What can be asked of a model, tried: every primitive on small pictures of noise, against what the
model itself does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlmlib import oracle, sight
from vlmlib.decoder import Decoder
from vlmlib.errors import LackingError, VLMError
from vlmlib.geometry import Grid
from vlmlib.gradients import integrated_gradients
from vlmlib.interventions import Ablate, Arm, Block
from vlmlib.lens import logit_lens
from vlmlib.model import VLM
from vlmlib.report import Finding, first_sentence
from vlmlib.selfcheck import off_by, rounding, tolerance
from vlmlib.stimulus import Stimulus

QUESTION = "What is this?"
NEW_TOKENS = 2


# What was found, and how far it is from what the model itself gives.
Told = str | tuple[str, float]


class _WrongError(Exception):
    """What is given, and is not what it has to be."""

    def __init__(self, message: str, off: float | None = None):
        super().__init__(message)
        self.off = off


def findings(vlm: VLM) -> list[Finding]:
    """What is found on a model, thing by thing. What raises a `VLMError` is refused, with the first
    sentence of its message as the reason.

    !!! example

        >>> [each.what for each in findings(vlm)][:4]
        ['model', 'language model', 'attention', 'head']
        >>> {each.outcome for each in findings(vlm)}
        {'found'}
    """
    wide, tall = (vlm.read(sight.noise(size), QUESTION) for size in sight.SHAPES)
    trial = Trial(vlm, wide)
    looks: dict[str, Callable[[], Told]] = {
        "model": lambda: _model(vlm),
        "language model": lambda: _language_model(vlm),
        "attention": lambda: _attention(vlm),
        "head": lambda: _head(vlm),
        "prompt": lambda: repr(vlm.prompt),
        "visual tokens": lambda: _by_shape(_shown(vlm, wide), _shown(vlm, tall)),
        "views": lambda: _by_shape(_views(wide), _views(tall)),
        "places": lambda: _places(vlm, wide, tall),
        "later features": trial.injections,
        "blindness": trial.blindness,
        "clean run": trial.clean_run,
        "put back": trial.put_back,
        "causality": trial.causality,
        "sharing": trial.sharing,
        "knockout": trial.knockout,
        "lens": trial.lens,
        "description": trial.description,
        "gradients": trial.gradients,
    }
    return [_tried(what, look) for what, look in looks.items()]


def _tried(what: str, look: Callable[[], Told]) -> Finding:
    try:
        told = look()
    except _WrongError as error:
        return Finding(what, str(error), "wrong", error.off)
    except VLMError as error:
        return Finding(what, first_sentence(str(error)), "refused")
    found, off = (told, None) if isinstance(told, str) else told
    return Finding(what, found, off=off)


def _model(vlm: VLM) -> str:
    dtype = str(vlm.model.dtype).removeprefix("torch.")
    size = sum(each.numel() for each in vlm.model.parameters())
    attention = "eager" if vlm.decoder.eager else "sdpa"
    devices = ", ".join(map(str, vlm.devices))
    return f"{size:,} parameters, {dtype} on {devices}, attention by {attention}"


def _language_model(vlm: VLM) -> str:
    stack = vlm.decoder.stack
    return (
        f"{_path(vlm, stack)} ({type(stack).__name__}): d_model {vlm.d_model}, "
        f"{len(vlm.layers)} layers, {vlm.decoder.heads} heads, vocabulary {vlm.decoder.vocab}"
    )


def _attention(vlm: VLM) -> str:
    found, windows = vlm.decoder.attending, sorted({*filter(None, vlm.decoder.windows)})
    first, module = next(iter(found.items()))
    narrow = f", windows of {_listed(windows)} positions in some" if windows else ""
    return f"in {_layers(found, vlm.decoder)} (layer {first}: {_path(vlm, module)}){narrow}"


def _head(vlm: VLM) -> str:
    norm, unembed = _path(vlm, vlm.decoder.norm), _path(vlm, vlm.decoder.unembed)
    return f"final norm {norm}, unembedding {unembed}"


def _path(vlm: VLM, module: nn.Module) -> str:
    return next(name for name, each in vlm.model.named_modules() if each is module)


def _by_shape(wide: str, tall: str) -> str:
    """What holds for both pictures, or for each."""
    if wide == tall:
        return wide
    shapes = [f"{width} x {height} pixels" for width, height in sight.SHAPES]
    return f"{wide} ({shapes[0]}), {tall} ({shapes[1]})"


def _shown(vlm: VLM, stimulus: Stimulus) -> str:
    placeholders, shown = int((stimulus.input_ids == vlm.image_token).sum()), len(stimulus.visual)
    return str(shown) if placeholders == shown else f"{shown} of {placeholders} placeholders"


def _views(stimulus: Stimulus) -> str:
    return " and ".join(_grids(stimulus.grids)) if stimulus.grids else "not known"


def _grids(grids: Sequence[Grid]) -> Iterator[str]:
    for (rows, cols), group in groupby(grids):
        count = len([*group])
        yield f"{count} of {rows} x {cols}" if count > 1 else f"{rows} x {cols}"


def _places(vlm: VLM, *stimuli: Stimulus) -> str:
    """Measured now, whatever was found before."""
    for stimulus in stimuli:
        height, width = stimulus.image_size
        reason = stimulus.unplaced or sight.misplaced(vlm, (width, height))
        if reason:
            raise LackingError(reason)
    return "where they are taken to be, by inverting parts of a picture"


def _layers(some: Mapping[int, Any], decoder: Decoder) -> str:
    count = len(decoder.layers)
    if len(some) == count:
        return f"all {count} layers"
    return f"{len(some)} of {count} layers ({_listed(some)})"


def _listed(numbers: Sequence[int] | Mapping[int, Any]) -> str:
    """Numbers that follow one another as a range."""
    runs = [[*run] for _, run in groupby(enumerate(numbers), lambda each: each[1] - each[0])]
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ends)


@dataclass(frozen=True, eq=False)
class Trial:
    """A model that is asked about one picture, by its primitives and as it is.

    !!! example

        >>> Trial(vlm, stimulus).clean_run()
        "bit for bit the model's own"
    """

    vlm: VLM
    stimulus: Stimulus

    @property
    def tolerance(self) -> float:
        """How far logits may be off, as a share of the largest one."""
        return tolerance(self.vlm.decoder.dtype)

    @cached_property
    def own(self) -> Float[Tensor, " vocab"]:
        """The model's own logits, without any hook."""
        with torch.no_grad():
            inputs = {**self.stimulus.inputs, "logits_to_keep": 1}
            return self.vlm.model(**inputs, use_cache=False).logits[0, -1]

    def hooked(self, arm: Arm) -> Float[Tensor, " vocab"]:
        """The logits of one hooked pass of the whole model."""
        return oracle.next_token(self.vlm.model, self.vlm.decoder, self.stimulus, arm)

    def states(self, arm: Arm = ()) -> Float[Tensor, "layer token d_model"]:
        """All hidden states of one hooked pass."""
        every = range(len(self.stimulus.embeddings))
        return oracle.hidden_states(self.vlm.model, self.vlm.decoder, self.stimulus, every, arm)

    @property
    def blocking(self) -> list[int]:
        """The layers in which edges can be removed."""
        sparse = self.vlm.sparse_on(self.stimulus)
        return [layer for layer in self.vlm.decoder.attending if layer not in sparse]

    def injections(self) -> str:
        """Whether more of the picture enters after the embeddings, and where."""
        if not self.vlm.injects:
            return "none: all of the picture enters with the embeddings"
        return f"more of the picture is added before layers {_listed(self.vlm.injects)}"

    def blindness(self) -> str:
        """Whether a picture is seen past its visual tokens."""
        if reason := sight.seen_past(self.vlm):
            raise LackingError(reason)
        return "with all visual tokens ablated, two pictures give the same logits"

    def clean_run(self) -> Told:
        """Whether a clean arm is the model's own run."""
        [clean] = self.vlm.next_token(self.stimulus, [[]])
        if torch.equal(clean, self.own):
            return "bit for bit the model's own"
        off = off_by(clean, self.own)
        if off > rounding(self.vlm.decoder.dtype):
            raise _WrongError("not the model's own", off)
        return "the model's own but for rounding", off

    def put_back(self) -> Told:
        """Whether what enters a layer, put back, leaves the logits, layer by layer."""
        vlm, closed = self.vlm, self.vlm.decoder.closed
        states, every = self.states(), range(len(self.stimulus.embeddings))
        whole = torch.cat([states[0], *self.stimulus.injected.values()], dim=-1)
        entering = {at: states[at] if at else whole for at in vlm.layers if at not in closed}
        arms = {at: [Ablate(every, value, at)] for at, value in entering.items()}
        logits = vlm.next_token(self.stimulus, list(arms.values()))
        off = {at: off_by(each, self.own) for at, each in zip(arms, logits, strict=True)}
        most = max(off.values(), default=0.0)
        if moved := [at for at in off if off[at] > self.tolerance]:
            raise _WrongError(f"what enters layers {_listed(moved)} moves the logits", most)
        if closed:
            first = min(closed)
            raise LackingError(f"at layers {_listed(sorted(closed))} ({first}: {closed[first]})")
        return f"at {_layers(off, vlm.decoder)} it leaves the logits", most

    def causality(self) -> str:
        """Whether earlier hidden states move with a later embedding."""
        clean = self.states()
        changed = {"visual": int(self.stimulus.visual[-1]), "prompt": self.stimulus.last}
        seen = []
        for name, at in changed.items():
            moved = self.states([Ablate([at], -self.stimulus.embeddings[at])])[:, :at]
            apart, scale = (moved - clean[:, :at]).norm(dim=-1), clean[:, :at].norm(dim=-1)
            if not bool((apart <= self.tolerance * scale).all()):  # nor if it is not finite
                seen.append(f"the last {name} token")
        if seen:
            return f"earlier positions see {' and '.join(seen)}"
        return "no position sees a later one"

    def sharing(self) -> Told:
        """Whether arms share work, and how far they are from a hooked pass each."""
        vlm, visual, last = self.vlm, self.stimulus.visual, self.stimulus.last
        blocking = self.blocking
        arms: list[Arm] = [[]]
        if blocking:
            arms += [[Block(visual, to=last, layers=[blocking[len(blocking) // 2]])]]
        if not vlm.seen_past:
            arms += [[Ablate(visual[len(visual) // 2 :], self.stimulus.embeddings[0])]]
        off = off_by(
            vlm.next_token(self.stimulus, arms), torch.stack([self.hooked(arm) for arm in arms])
        )
        if off > self.tolerance:
            raise _WrongError("arms are not what one hooked pass each gives", off)
        if reason := vlm.unshared_on(self.stimulus):
            return f"one pass for each arm, since {reason}"
        return "arms share work, and give what one hooked pass each gives", off

    def knockout(self) -> str:
        """In which layers edges can be removed, and whether that is felt."""
        vlm, last = self.vlm, self.stimulus.last
        arms = {at: [Block(range(last), to=last, layers=[at])] for at in self.blocking}
        logits = vlm.next_token(self.stimulus, list(arms.values()))
        felt = (logits - self.own).abs().amax(-1) > 1e-6 * self.own.abs().max()
        if dead := [at for at, each in zip(arms, felt.tolist(), strict=True) if not each]:
            raise _WrongError(f"removing all edges into the last token does nothing in {dead}")
        where = f"{_layers(arms, vlm.decoder)}, and each layer feels it" if arms else "no layer"
        told = f"edges can be removed in {where}"
        try:
            vlm.check(self.stimulus, [[Block([0], to=last, layers=vlm.layers)]])
        except LackingError as error:
            raise LackingError(f"{first_sentence(str(error))}; {told}") from error
        return told

    def lens(self) -> Told:
        """Whether the last layer's lens is the model's own prediction."""
        found = logit_lens(self.vlm, self.stimulus, self.stimulus.last, k=self.vlm.decoder.vocab)
        own = self.own.float().softmax(-1)[found.top_ids[-1, 0]]
        off = float((found.top_probabilities[-1, 0] - own).abs().max())
        if not off <= self.tolerance:
            raise _WrongError("the last layer's is not the model's own prediction", off)
        how = "" if self.vlm.head.plain else ", by the model's whole head"
        return f"the last layer's is the model's own prediction{how}", off

    def description(self) -> str:
        """Whether the first tokens are those of the model's own `generate`."""
        vlm = self.vlm
        [said] = vlm.describe(self.stimulus, [[]], NEW_TOKENS)
        logits = oracle.spoken(vlm.model, vlm.decoder, self.stimulus, [], NEW_TOKENS)
        own = vlm.processor.tokenizer.decode(logits.argmax(-1), skip_special_tokens=True)
        if said == own:
            return f"the first tokens are generate's, {said!r}"
        first, second = logits.topk(2).values.T
        if bool((first - second <= self.tolerance * logits.abs().amax(-1)).any()):
            return f"the first tokens are generate's but for a tie, {said!r} for {own!r}"
        raise _WrongError(f"{said!r}, where generate says {own!r}")

    def gradients(self) -> str:
        """Whether integrated gradients can be taken."""
        mean = self.stimulus.embeddings[self.stimulus.visual].mean(0)
        token = int(self.own.argmax())
        integrated_gradients(self.vlm, self.stimulus, token, mean, steps=2)
        return "of a logit by all visual tokens"
