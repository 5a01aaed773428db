"""What blocking each way costs, layer by layer, a panel for each task."""

import pandas as pd

from claimlib import Figure
from claimlib.figures import INK
from claimlib.page.look import BLUE, PURPLE, VERMILLION
from claims.route_by_task import arms
from fixtures import curves

LOOKS = {
    arms.QUESTION: {"color": PURPLE, "linestyle": "-.", "marker": "^"},
    arms.LAST: {"color": VERMILLION, "linestyle": "--", "marker": "s"},
    arms.OTHER: {"color": BLUE, "linestyle": "-", "marker": "o"},
    arms.TEXT: {"color": INK, "linestyle": ":", "marker": ""},
}
TELLS = (
    "The relative change of the right answer's probability beside the other one's, p / (p + q), "
    "when the image is blocked from a part of the text in a window of layers, and at the side in "
    "all of them; bands and bars are intervals, categories as clusters, of which all of a line "
    "hold at once with 95 %. What an answer falls to without an image differs between panels "
    "(dotted): compare the lines within one."
)


def draw(numbers: pd.DataFrame, label: str) -> Figure:
    """The figure of a model.

    **Arguments:** by task, route and layer the mean change, and its interval.
    """
    title, shows = f"Which way, by the task, {label}", "change of the probability (%)"
    return curves.draw(numbers, "task", "route", LOOKS, title, TELLS, shows)
