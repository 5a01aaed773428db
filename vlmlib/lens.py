"""The logit lens: what the hidden states at chosen positions say, layer by layer, in words of the
vocabulary."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib.checks import check_range
from vlmlib.errors import VLMError
from vlmlib.finite import check_finite
from vlmlib.interventions import Arm, Tokens, positions
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus

# Held at once: 64 MiB in float32.
MAX_LOGITS = 2**24


@dataclass(frozen=True, eq=False)
class Lens:
    """What `logit_lens` returns. Layer 0 is the embeddings, the last layer is the model's own
    prediction.

    - `tokens`: the positions in the sequence, ascending.
    - `top_ids`, `top_probabilities`: the k most likely tokens, the likeliest first.
    - `rank`, `probability`: of the token that was asked for, rank 0 the likeliest; None where none
        was.
    - `arm`: the one under which the model ran.
    """

    tokens: tuple[int, ...]
    top_ids: Int[Tensor, "layer token k"]
    top_probabilities: Float[Tensor, "layer token k"]
    rank: Int[Tensor, "layer token"] | None = None
    probability: Float[Tensor, "layer token"] | None = None
    arm: Arm = ()


@torch.no_grad()
def logit_lens(
    vlm: VLM,
    stimulus: Stimulus,
    tokens: Tokens,
    k: int = 5,
    token_id: int | None = None,
    arm: Arm = (),
) -> Lens:
    """Decode hidden states as if each layer were the last one (logit lens, section 4.1).

    p_l = softmax(W_U norm(h_l)), with the model's final norm and unembedding, h_0 the embeddings
    and h_l what enters layer l. Where the model's head does more than unembed (a soft cap), so does
    the lens. What leaves the last layer is normed once, like all others, so that the last p_l is
    the model's own. No more than `MAX_LOGITS` logits exist at a time, however many layers and
    positions are read.

    **Arguments:** positions in the sequence; `k`: how many of the likeliest tokens to keep;
    `token_id`: a token whose rank (how many tokens have a larger logit) and probability to read;
    the arm under which the model runs.

    **Returns:** a `Lens` of `[layers + 1, token]`, probabilities in float32.

    **Raises:** `VLMError` for a model whose last layer does not decode to its own prediction, a
    position outside the sequence, and a `k` or token id outside the vocabulary; `ImageError` for
    hidden states or logits that are not finite.

    !!! example

        >>> yes = vlm.first_token(stimulus, "Yes")
        >>> lens = logit_lens(vlm, stimulus, stimulus.last, token_id=yes)
        >>> lens.top_ids.shape, lens.rank.shape
        (torch.Size([3, 1, 5]), torch.Size([3, 1]))
        >>> lens.top_ids[-1, 0, 0] == vlm.next_token(stimulus, [[]])[0].argmax()
        tensor(True)
    """
    at, vocab = positions(tokens), vlm.decoder.vocab
    check_range("logit_lens: position", at, len(stimulus.embeddings))
    check_range("logit_lens: token id", [] if token_id is None else [token_id], vocab)
    if not 1 <= k <= vocab:
        raise VLMError(
            f"logit_lens was asked for the {k} likeliest of {vocab} tokens. "
            "Choose 1 up to all of them."
        )
    hidden = vlm.hidden_states(stimulus, at, arm)
    chunks = hidden.flatten(0, 1).split(max(1, MAX_LOGITS // vocab))
    decoded = [_decoded(vlm, chunk, k, token_id) for chunk in chunks]
    joined = [torch.cat(parts) for parts in zip(*decoded, strict=True)]
    # logits of which one is NaN or the largest infinite have no probabilities
    check_finite("The logits of the lens", joined[1][None], [arm])
    return Lens(at, *(each.unflatten(0, hidden.shape[:2]) for each in joined), arm=tuple(arm))


def _decoded(
    vlm: VLM, hidden: Float[Tensor, "row d_model"], k: int, token_id: int | None
) -> tuple[Tensor, ...]:
    """The likeliest tokens and their probabilities, and of a token its rank and probability, for
    each row."""
    logits = vlm.head(vlm.decoder.norm(hidden)).float()
    probabilities = logits.softmax(-1)
    top_ids = logits.topk(k).indices
    top_probabilities = probabilities.gather(-1, top_ids)
    if token_id is None:
        return top_ids, top_probabilities
    rank = (logits > logits[:, [token_id]]).sum(-1)
    return top_ids, top_probabilities, rank, probabilities[:, token_id]
