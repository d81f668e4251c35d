"""Pieces of pages that compute: sliders, the numbers of a law, and the style and scripts that belong to them.

`page.css` is the style of what moves in a page, `law.js` computes what `qrgmm.risk` computes, and `chart.js` draws. The
figures of `qrgmm.moving` and the panel of `qrgmm.desk` are made of them, and ask no host for anything. Chapters 1, 19.
"""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qrgmm.curve import QuantileCurve

FOLDER = Path(__file__).resolve().parent
SHARED = [FOLDER / name for name in ("page.css", "law.js", "chart.js")]
SLIDER = (
    '<p><label><span>{words}</span><input type="range" data-control="{name}" min="{low}" max="{high}" step="{step}" '
    'value="{value}" autocomplete="off"></label><output data-output="{name}" aria-live="off"></output></p>'
)


def slider(name: str, words: str, low: Any, high: Any, step: Any, value: Any) -> str:
    """Return a control of a page: its words, a slider, and the place where its value stands.

    Parameters
    ----------
    name, words : str
        What the script calls it, and the reader.
    low, high, step, value : number or str
        As the browser is to read them.

    Returns
    -------
    str

    Examples
    --------
    >>> 'min="0" max="9000" step="50" value="3000"' in slider("loan", "Loan", 0, 9000, 50, 3000)
    True
    """
    return SLIDER.format(name=name, words=html.escape(words), low=low, high=high, step=step, value=value)


def to_json(data: Mapping[str, Any]) -> str:
    """Return numbers as a page can carry them inside a script.

    Parameters
    ----------
    data : mapping
        What JSON can hold; no NaN and no infinity.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    Examples
    --------
    >>> to_json({"name": "</script>", "values": [1.5, None]})
    '{"name":"\\\\u003c/script>","values":[1.5,null]}'
    """
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def read_assets(kind: str, *files: Path) -> str:
    """Return the style, or the script, that all such pages share, and what some have beside it, as one text.

    Parameters
    ----------
    kind : {".css", ".js"}
    *files : pathlib.Path
        Style sheets and scripts, of which those of the other kind are left out.

    Returns
    -------
    str

    Examples
    --------
    >>> read_assets(".css").startswith("/*")
    True
    """
    return "".join(file.read_text(encoding="utf-8") for file in [*SHARED, *files] if file.suffix == kind)


def embed(text: str, *files: Path) -> str:
    """Return HTML that carries the style and the scripts it needs, for a page that has nothing beside it.

    Parameters
    ----------
    text : str
        HTML.
    *files : pathlib.Path
        As in `read_assets`.

    Returns
    -------
    str

    Examples
    --------
    >>> embed("<p>here</p>").endswith("</script>")
    True
    """
    return f"<style>{read_assets('.css', *files)}</style>\n{text}\n<script>{read_assets('.js', *files)}</script>"


def law_parts(curve: QuantileCurve, digits: int = 6) -> dict[str, list[float]]:
    """Return one law as `law.js` reads it: its knots, and the probabilities below and up to each.

    Parameters
    ----------
    curve : QuantileCurve
        One row.
    digits : int
        Decimals of the knots, few enough to be the same on every machine. The page is exact for the law with the knots
        that it carries.

    Returns
    -------
    dict of str to list of float
        "values", "below" and "up_to".

    Raises
    ------
    ValueError
        If there is more than one law.

    Examples
    --------
    >>> law_parts(QuantileCurve([0.25, 0.75], [1 / 3, 2.0]))
    {'values': [0.333333, 2.0], 'below': [0.0, 0.75], 'up_to': [0.25, 1.0]}
    """
    if len(curve) != 1:
        raise ValueError(f"curve must be one law, got {len(curve)}")
    below, up_to = (np.atleast_2d(part)[0].tolist() for part in (curve.below, curve.up_to))
    return {"values": curve.values[0].round(digits).tolist(), "below": below, "up_to": up_to}
