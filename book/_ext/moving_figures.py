"""Sphinx extension: pages with a figure of qrgmm.moving get its style and script, one file each for all pages."""

from pathlib import Path

from qrgmm.moving import SCRIPT
from qrgmm.page import read_assets


def write_files(app):
    if app.builder.format == "html":
        folder = Path(app.outdir, "_static")
        folder.mkdir(parents=True, exist_ok=True)
        for kind in (".css", ".js"):
            (folder / f"moving{kind}").write_text(read_assets(kind, SCRIPT), encoding="utf-8")


def add_files(app, pagename, templatename, context, doctree):
    if "data-moving=" in context.get("body", ""):
        app.add_css_file("moving.css")
        app.add_js_file("moving.js", loading_method="defer")


def setup(app):
    app.connect("builder-inited", write_files)
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
