"""Result pages, which are Markdown, as a part of a page."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from claimlib.markdown import one_line, seen

TOP, LOWEST = 3, 6  # the level at which a page's own first heading stands here, and the last one
SCROLLED = '<div class="scroll" tabindex="0" role="region" aria-label="{}">\n<table>\n'


def as_html(markdown: str, name: str) -> Markup:
    """A page of Markdown, its headings below those of the page that it stands in, and its tables
    each in a frame that scrolls.

    HTML within it is shown and not obeyed, nothing in it loads, and links lead beside it alone.

    **Arguments:** `name`: of the page, for whoever comes to a table of it by ear.

    !!! example

        >>> print(as_html("# Heads\\n\\n<b>*seven*</b>", "coins"), end="")
        <h4>Heads</h4>
        <p>&lt;b&gt;<em>seven</em>&lt;/b&gt;</p>
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.validateLink = _leads_beside
    tokens = reader.parse(seen(markdown))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + TOP, LOWEST)}"
    reader.add_render_rule("image", _in_words)
    reader.add_render_rule("table_open", _table(name))
    reader.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _leads_beside(url: str) -> bool:
    return re.match(r"\s*(//|[a-z][a-z0-9+.-]*:)", url, re.IGNORECASE) is None


def _in_words(self: RendererHTML, tokens: Sequence[Token], at: int, *_: object) -> str:
    """What a picture says of itself."""
    return str(escape(tokens[at].content))


def _table(name: str):
    opening = Markup(SCROLLED).format(f"A table of {one_line(name)}")

    def opened(self: RendererHTML, tokens: Sequence[Token], at: int, *_: object) -> str:
        return str(opening)

    return opened
