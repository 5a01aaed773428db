"""Draws the README's picture: what the model sees, and which visual tokens an intervention touches.

python -m claims.neo2025.figures          # writes reports/figures/object_tokens.png
"""

from pathlib import Path

import numpy as np

from claims.neo2025.figures.tokens import draw_tokens
from fixtures import filtered
from fixtures.models import MODELS, SHIPPED, SHIPPED_DATA
from vlmlib import VLM, Polling, select

FIGURE = Path(__file__).parents[3] / "reports" / "figures" / "object_tokens.png"


def main() -> None:
    vlm, data = VLM.load(MODELS[SHIPPED]), filtered.filter_1(SHIPPED_DATA, filtered.IDENTIFICATION)
    example = next(
        each for each in data.examples if each.questions and each.image.width > each.image.height
    )
    stimulus = Polling(example.category).read(vlm, example.image)
    tokens = stimulus.tokens_of(example.mask)
    region = select.buffer(stimulus, tokens, 1)
    regions = {f"{example.category}, O": tokens, "buffer of one, O+1": region}
    control = select.shape_matched(stimulus, region, np.random.default_rng([0, example.number]))
    if control is not None:
        regions["control"] = control
    figure = draw_tokens(stimulus, example.image, regions)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=110)
    print(f"image {example.id} -> {FIGURE}")


if __name__ == "__main__":
    main()
