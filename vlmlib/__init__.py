"""The instrument: interventions on vision-language models, executed exactly.

Describe what to change, then ask what the model predicts.

    from vlmlib import VLM, Ablate, Block, mean_embedding

    vlm = VLM.load("fixtures/emoji_llava")
    stimulus = vlm.read(image, "Is there a dog in this image?")
    tokens = stimulus.tokens_of(mask)
    ablated = [Ablate(tokens, mean_embedding(vlm, images))]
    blocked = [Block(tokens, to=stimulus.last, layers=vlm.layers)]
    logits = vlm.next_token(stimulus, [[], ablated, blocked])
"""

from vlmlib import select, windows
from vlmlib.attention import attention_received
from vlmlib.errors import ImageError, LackingError, VLMError, VLMWarning
from vlmlib.gradients import integrated_gradients
from vlmlib.interventions import GENERATED, Ablate, Block, causal_blocks
from vlmlib.lens import logit_lens
from vlmlib.mean import load_mean, made_from, mean_embedding, save_mean
from vlmlib.model import VLM
from vlmlib.patching import patch
from vlmlib.reach import Reach, reach
from vlmlib.said import Said, first_said
from vlmlib.stimulus import Stimulus
from vlmlib.tasks import VQA, Answer, Description, Polling

__all__ = [
    "GENERATED",
    "VLM",
    "VQA",
    "Ablate",
    "Answer",
    "Block",
    "Description",
    "ImageError",
    "LackingError",
    "Polling",
    "Reach",
    "Said",
    "Stimulus",
    "VLMError",
    "VLMWarning",
    "attention_received",
    "causal_blocks",
    "first_said",
    "integrated_gradients",
    "load_mean",
    "logit_lens",
    "made_from",
    "mean_embedding",
    "patch",
    "reach",
    "save_mean",
    "select",
    "windows",
]
