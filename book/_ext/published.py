"""Sphinx extension: what makes a published book found, shared and improved. Names are in _config.yml, and may be empty.

Always: a description of every page, and its card. With the address of the site: canonical links, the card's picture, a
sitemap. With a repository: buttons to it. Without them no page names another host for this.
"""

import re
from html import escape, unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from docutils import nodes

PICTURE = "_static/cover.png"
LENGTH = 200  # of a description; what shows them cuts longer ones
GENERATED = ("book/api", "book/benchmarks", "book/goals", "book/ledger")  # pages that no one edits


def set_buttons(app, config):
    """Show the theme's buttons where there is a repository that they can lead to."""
    options = config.html_theme_options
    if options.get("repository_url"):
        options |= {f"use_{name}_button": True for name in ("repository", "edit_page", "issues")}
    else:
        options.pop("launch_buttons", None)


def describe(doctree, default):
    """Return the first paragraph of a page that is not in a box and has no formula, cut at a word."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        if isinstance(paragraph.parent, nodes.section) and not any(paragraph.findall(nodes.math)):
            text = " ".join(paragraph.astext().split())
            return text if len(text) <= LENGTH else text[:LENGTH].rpartition(" ")[0] + " …"
    return default


def add_card(app, pagename, templatename, context, doctree):
    site, name, front = app.config.html_baseurl, app.config.html_title, pagename == app.config.root_doc
    title = name if front else unescape(re.sub("<[^>]*>", "", context.get("title", ""))) or name
    description = describe(doctree, app.config.html_context["description"])
    tags = {"og:site_name": name, "og:type": "website" if front else "article", "og:title": title}
    tags |= {"og:description": description, "twitter:card": "summary_large_image"}
    if site:
        tags |= {"og:url": context["pageurl"], "og:image": urljoin(site, PICTURE)}
    if front:  # what collectors of references read
        tags |= {"citation_title": title, "citation_author": app.config.author}
        tags |= {"citation_publication_date": app.config.copyright}
    lines = [f'<meta name="description" content="{escape(description)}" />']
    for name, content in tags.items():
        kind = "property" if name.startswith("og:") else "name"
        lines.append(f'<meta {kind}="{name}" content="{escape(content)}" />')
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])
    context["site_root"] = urlsplit(site).path or "./"  # for the page 404.html, which is shown at any address


def mend_edit_links(app, pagename, templatename, context, doctree):
    """Let a chapter's source be its text, not the notebook that comes of it; a generated page has none."""
    for group in context.get("header_buttons", []):
        if group.get("label") == "source-buttons":
            if pagename.startswith(GENERATED):
                unwanted = ("source-edit-button", "source-file-button")
                group["buttons"] = [button for button in group["buttons"] if button["label"] not in unwanted]
            for button in group["buttons"]:
                button["url"] = button["url"].removesuffix(".ipynb") + ".md" * button["url"].endswith(".ipynb")


def write_sitemap(app, error):
    site = app.config.html_baseurl
    if error or app.builder.format != "html" or not site:
        return
    urlset = ElementTree.Element("urlset", xmlns="http://www.sitemaps.org/schemas/sitemap/0.9")
    for page in sorted(app.env.found_docs):
        address = urljoin(site, app.builder.get_target_uri(page))
        ElementTree.SubElement(ElementTree.SubElement(urlset, "url"), "loc").text = address
    ElementTree.ElementTree(urlset).write(Path(app.outdir, "sitemap.xml"), encoding="utf-8", xml_declaration=True)


def setup(app):
    app.connect("config-inited", set_buttons)
    app.connect("html-page-context", add_card)
    app.connect("html-page-context", mend_edit_links, priority=900)  # after the theme has made them
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
