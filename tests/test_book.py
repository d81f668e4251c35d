"""The built book is complete by itself: no other host, no broken link, a title on every page, words for every image.

book/build.py runs this on every new book and names its folder in QRGMM_BOOK; otherwise build/html is read, if there.
"""

import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

HTML = Path(os.environ.get("QRGMM_BOOK") or Path(__file__).resolve().parents[1] / "build" / "html")
if "QRGMM_BOOK" not in os.environ and not HTML.exists():
    pytest.skip("no book is built; make book builds and checks one", allow_module_level=True)

PAGES = sorted(path for path in HTML.rglob("*.html") if "_static" not in path.relative_to(HTML).parts)
# What a browser fetches by itself, as opposed to the links that a reader may follow.
FETCHED = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "iframe": ["src"],
    "embed": ["src"],
    "video": ["src"],
    "audio": ["src"],
    "object": ["data"],
    "image": ["href", "xlink:href"],
    "use": ["href"],
}
FETCHED_LINKS = {
    "stylesheet",
    "icon",
    "shortcut",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
CSS_FETCH = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)

each_page = pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(HTML)) for path in PAGES])


class Page(HTMLParser):
    """What the tests ask of one page: `tags` (name, attributes), `ids`, `title`, and `styles`, its inline CSS."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.ids, self.title, self.styles, self.inside = [], set(), "", "", None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = {name: value or "" for name, value in attributes}
        self.tags.append((tag, attributes))
        self.ids.update(attributes[name] for name in ("id", "name") if name in attributes)
        self.styles += attributes.get("style", "") + "\n"
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "style":
            self.styles += data
        elif self.inside == "title" and not self.title:
            self.title = data.strip()


@cache
def parse(path):
    return Page(path)


def find_fetches(page):
    """Return the addresses that a browser fetches when it opens a page."""
    for tag, attributes in page.tags:
        if tag == "link" and FETCHED_LINKS & set(attributes.get("rel", "").lower().split()):
            yield attributes.get("href", "")
        for name in FETCHED.get(tag, ()):
            yield attributes.get(name, "")


def test_there_are_pages():
    assert (HTML / "index.html").exists() and (HTML / "book" / "index.html").exists()


@each_page
def test_page_fetches_nothing_from_another_host(page):
    parsed = parse(page)
    assert not [address for address in find_fetches(parsed) if ELSEWHERE.match(address)]
    assert not CSS_FETCH.findall(parsed.styles)


def test_style_sheets_fetch_nothing_from_another_host():
    styles = {path: path.read_text(encoding="utf-8", errors="ignore") for path in HTML.rglob("*.css")}
    assert styles and not [str(path) for path, style in styles.items() if CSS_FETCH.search(style)]


@each_page
def test_links_and_files_of_page_exist(page):
    parsed = parse(page)
    broken = []
    links = [attributes.get("href", "") for tag, attributes in parsed.tags if tag == "a"]
    for address in [*find_fetches(parsed), *links]:
        scheme, host, path, _, fragment = urlsplit(address)
        if scheme or host:
            continue
        target = (page.parent / unquote(path)).resolve() if path else page
        if not target.exists():
            broken.append(address)
        elif fragment and target.suffix == ".html" and unquote(fragment) not in parse(target).ids:
            broken.append(address)
    assert not broken


@each_page
def test_page_has_a_title_and_a_language(page):
    parsed = parse(page)
    assert parsed.title
    assert [attributes.get("lang") for tag, attributes in parsed.tags if tag == "html"] == ["en"]


@each_page
def test_images_have_words(page):
    images = [attributes for tag, attributes in parse(page).tags if tag == "img"]
    assert not [image.get("src") for image in images if not image.get("alt") or image["alt"].endswith((".png", ".svg"))]


@each_page
def test_nothing_unresolved_is_shown(page):
    text = page.read_text(encoding="utf-8")
    assert 'class="problematic"' not in text and "system-message" not in text
