"""Pages of HTML that need nothing but a browser, and files that are all new or all as they were.

They carry everything with them, so that they work when sent by mail, without a network. Chapter 19.
"""

import html
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
html {{ background: Canvas; color: CanvasText; }} a {{ color: LinkText; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }}
:is(a, table):focus-visible {{ outline: 3px solid currentColor; outline-offset: 2px; }}
table {{ display: block; overflow-x: auto; border-collapse: collapse; margin: 0.6rem 0; }}
th, td {{ padding: 0.15rem 0.7rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; white-space: normal; min-width: 6rem; }}
.facts td {{ text-align: left; white-space: normal; }} .sum th {{ font-weight: normal; }}
figure {{ margin: 0; }}
.pair {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }}
.chart text {{ font-size: 13px; fill: currentColor; }} .chart path {{ fill: none; stroke: currentColor; }}
.chart .band {{ fill: #4a9fd8; fill-opacity: 0.35; stroke: none; }} .chart .axis {{ stroke-opacity: 0.4; }}
.chart .mark {{ stroke-dasharray: 4 4; }}
.light::before {{ content: "\\25cf\\00a0"; }} .green::before {{ color: #2e8b57; }}
.yellow::before {{ color: #d0a000; }} .red::before {{ color: #d02040; }}
.warning {{ border-left: 4px solid #d08000; padding-left: 0.7rem; }}
@media print {{ section {{ break-inside: avoid; }} }}
</style></head>
<body><main>
{body}
</main></body></html>
"""


def make_page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
    parts : list of str
        In HTML.

    Returns
    -------
    str

    Examples
    --------
    >>> make_page("A & B", ["<p>text</p>"]).splitlines()[0]
    '<!DOCTYPE html>'
    """
    return PAGE.format(title=html.escape(title), body="\n".join(part for part in parts if part))


def make_table(frame: pd.DataFrame) -> str:
    """Return a table; what may have to be scrolled on a phone is within reach of the keyboard.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of text and numbers, which are escaped and not rounded.

    Returns
    -------
    str

    Examples
    --------
    >>> "<th>a &amp; b</th>" in make_table(pd.DataFrame({"x": [1]}, ["a & b"]))
    True
    """
    return frame.to_html(border=0).replace("<table", '<table tabindex="0"', 1)


def write_together(texts: Mapping[Path, str | bytes]) -> None:
    """Write some files so that afterwards all of them are new, or none is.

    Parameters
    ----------
    texts : dict of Path to str or bytes
        What to write, text in UTF-8.

    Raises
    ------
    OSError
        If one can't be written; all files are then what they were.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_together({Path(folder) / "a.txt": "1", Path(folder) / "b.txt": "2"})
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['a.txt', 'b.txt']
    """
    aside = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in texts}
    before = {path: path.with_name(f".{path.name}.{os.getpid()}.old") for path in texts}
    kept, replaced = [], []
    try:
        for path, text in texts.items():
            # A name of a file may hold bytes that are no text.
            data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
            aside[path].write_bytes(data)
        for path in texts:
            if path.is_file():
                shutil.copyfile(path, before[path])
                kept.append(path)
            os.replace(aside[path], path)
            replaced.append(path)
    except BaseException:
        for path in replaced:
            if path in kept:
                os.replace(before[path], path)
            else:
                path.unlink()
        raise
    finally:
        for path in [*aside.values(), *before.values()]:
            path.unlink(missing_ok=True)
