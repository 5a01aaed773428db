"""The paper's figure: what blocking each route costs, layer by layer, a panel for each task."""

import pandas as pd

from claimlib import Figure
from claimlib.figures import INK
from claimlib.page.look import BLUE, PURPLE, VERMILLION
from claims.zhang2025 import arms
from fixtures import curves

LOOKS = {
    arms.QUESTION: {"color": BLUE, "linestyle": "-", "marker": "o"},
    arms.IMAGE: {"color": VERMILLION, "linestyle": "--", "marker": "s"},
    arms.INTO_QUESTION: {"color": PURPLE, "linestyle": "-.", "marker": "^"},
    arms.LAST: {"color": INK, "linestyle": ":", "marker": ""},
}
TELLS = (
    "The relative change of the probability of the token that the model says first, when attention "
    "of a route is blocked in a window of layers, and at the side in all of them; bands and bars "
    "are intervals, images as clusters, of which all of a line hold at once with 95 %."
)


def draw(numbers: pd.DataFrame, label: str) -> Figure:
    """The figure of a model.

    **Arguments:** by task, route and layer the mean change, and its interval.
    """
    title, shows = f"Information flow, {label}", "change of the probability (%)"
    return curves.draw(numbers, "task", "route", LOOKS, title, TELLS, shows)
