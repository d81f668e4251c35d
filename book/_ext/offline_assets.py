"""Sphinx extension: every asset of the book ships inside it, so that a page asks no other host for anything."""

import importlib.util
import shutil
from pathlib import Path

SCRIPT = "tex-chtml-full.js"
FONTS = "output/chtml/fonts/woff-v2"


def use_shipped_mathjax(app, config):
    config.mathjax_path = f"mathjax/{SCRIPT}"


def copy_mathjax(app, error):
    """Copy the one script and the fonts a page needs, 1.7 MB of the 24 MB that the package holds."""
    if error or app.builder.format != "html":
        return
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    script = next(package.rglob(SCRIPT))
    target = Path(app.outdir, "_static", "mathjax")
    shutil.copytree(script.parent / FONTS, target / FONTS, dirs_exist_ok=True)
    shutil.copy(script, target / SCRIPT)


def drop_thebe(app, pagename, templatename, context, doctree):
    """Drop the scripts of live code cells: unused here, they would load from another host and log an error."""
    context["script_files"] = [script for script in context["script_files"] if not is_thebe(script)]


def is_thebe(script):
    return "thebe" in (getattr(script, "filename", None) or "") or "THEBE" in (script.attributes.get("body") or "")


def setup(app):
    app.connect("config-inited", use_shipped_mathjax)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
