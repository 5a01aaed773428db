"""Interventions on vision-language models: describe what to change, then ask what the model predicts.

from vlmlib import VLM, Ablate, Block, select, mean_embedding

vlm = VLM.load("fixtures/emoji_llava")
stimulus = vlm.read(image, "Is there a dog in this image?")
tokens = stimulus.tokens_of(mask)
logits = vlm.next_token(stimulus, [[], [Ablate(tokens, mean)], [Block(tokens, to=stimulus.last, layers=vlm.layers)]])
"""

from vlmlib import select
from vlmlib.errors import VLMError
from vlmlib.interventions import Ablate, Block
from vlmlib.mean import mean_embedding
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus
from vlmlib.tasks import VQA, Polling

__all__ = ["VLM", "VQA", "Ablate", "Block", "Polling", "Stimulus", "VLMError", "mean_embedding", "select"]
