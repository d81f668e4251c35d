"""The built book is complete by itself: no other host, no broken link, a title on every page, words for every image.

book/build.py runs this on every new book and names its folder in QRGMM_BOOK; otherwise build/html is read, if there.
"""

import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup

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
CHAPTERS = [path for path in PAGES if path.parent.name == "notebooks"]
PROSE = [path for path in PAGES if path.parent.name in ("notebooks", "book")]
each_chapter = pytest.mark.parametrize("page", CHAPTERS, ids=[path.stem for path in CHAPTERS])


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
    links = [attributes.get("href", "") for tag, attributes in parsed.tags if tag in ("a", "area", "link")]
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


@each_page
def test_the_place_of_the_project_on_a_machine_is_not_shown(page):
    assert str(Path(__file__).resolve().parents[1]) not in page.read_text(encoding="utf-8")


@cache
def read(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def find_number_references(page):
    """Return the references to chapters and sections by number: those that have the title to hover over."""
    return [link for link in read(page).select("article a.reference.internal[title]") if link.select(".std-ref")]


@each_chapter
def test_a_chapter_refers_to_others_by_number(page):
    numbers = [int(path.stem[:2]) for path in CHAPTERS]
    for link in find_number_references(page):
        kind, number = link.get_text().lower().split()
        chapter, *rest = map(int, number.split("."))
        assert chapter in numbers and len(rest) == (kind == "section")
        address = link["href"].partition("#")[0]
        assert (Path(address).name or page.name).startswith(f"{chapter:02}_")
    titles = {read(path).h1.get_text().partition(". ")[2].rstrip("#") for path in CHAPTERS}
    assert not [span for span in read(page).select("article p .std-ref") if span.get_text() in titles]


@pytest.mark.parametrize("page", PROSE, ids=[path.stem for path in PROSE])
def test_a_sentence_that_begins_with_a_reference_has_a_capital(page):
    for link in find_number_references(page):
        before = link.previous_sibling
        begins = before is None or re.search(r"[.?!]\s+$", before.get_text())
        if link.parent.name in ("p", "dd", "li", "td"):
            assert link.get_text()[0].isupper() == bool(begins), link.parent.get_text()


def test_contents_of_pages_show_no_labels():
    entries = [entry.get_text().strip() for page in PROSE for entry in read(page).select(".toc-entry a")]
    assert entries and not [entry for entry in entries if re.fullmatch(r"(ch|sec)-[a-z0-9-]+", entry)]


@each_chapter
def test_code_of_figures_and_imports_is_folded(page):
    for cell in read(page).select("div.cell:not(.tag_solution)"):
        code = cell.select_one(".cell_input").get_text().strip()
        folded = bool(cell.select("details.hide .cell_input"))
        figure = code.endswith("plt.show()") or bool(cell.select("[data-moving]"))
        assert folded or not figure or "assert" in code
        assert not folded or figure or re.match("import |from ", code)
    assert not read(page).select(".tag_parameters details, .solution details.hide .cell_input")


@each_chapter
def test_a_page_has_the_script_of_moving_figures_if_it_has_one(page):
    figures = read(page).select("[data-moving]")
    fetched = {Path(urlsplit(address).path).name for address in find_fetches(parse(page))}
    assert fetched & {"moving.js", "moving.css"} == ({"moving.js", "moving.css"} if figures else set())
    for figure in figures:
        assert read(page).select(f"figure#{figure['data-still']} img[alt]"), "a still one in whose place it stands"


@each_chapter
def test_a_chapter_opens_with_a_picture_before_its_code(page):
    (opening,) = read(page).select("figure.opening")
    assert opening.find_next(class_="cell") and not opening.find_previous(class_="cell")
    assert opening.img["alt"] and opening.find("a", class_="reference")
    further_down = [image["src"] for image in read(page).select(".cell figure img")]
    assert opening.img["src"] in further_down


@each_chapter
def test_shown_sources_are_python_and_folded_if_long(page):
    for cell in read(page).select("div.cell.tag_shows-source"):
        sources = cell.select(".cell_output .highlight-python")
        assert sources
        for source in sources:
            assert (source.get_text().strip().count("\n") >= 25) == bool(source.find_parent("details"))


@each_chapter
def test_numbers_stand_to_the_right(page):
    tables = [table.select("td") for table in read(page).select("article table:is(.dataframe, .table)")]
    assert tables
    for cells in tables:
        if all(re.fullmatch(r"[-−]?\d[\d,]*(?:\.\d+)?", cell.get_text().strip()) for cell in cells):
            assert all("number" in cell.get("class", []) for cell in cells), cells


@each_page
def test_page_can_be_found_and_shared(page):
    """Each page is described; it names an address of its own where the site has one, and no other host otherwise."""
    if page in (HTML / "index.html", HTML / "404.html"):
        return
    head = read(page).head
    names = {tag.get("name") or tag.get("property"): tag["content"] for tag in head.select("meta[content]")}
    assert names["description"] and names["og:title"] and names["og:description"] == names["description"]
    canonical = [link["href"] for link in head.select("link[rel=canonical]")]
    if not (HTML / "sitemap.xml").exists():
        assert not canonical and not [name for name, content in names.items() if ELSEWHERE.match(content)]
    else:
        assert canonical == [names["og:url"]]
        site = canonical[0].removesuffix(page.relative_to(HTML).as_posix())
        assert names["og:image"] == urljoin(site, "_static/cover.png") and (HTML / "_static" / "cover.png").exists()


def test_the_page_for_a_wrong_address_needs_no_other_file():
    page = HTML / "404.html"
    assert not list(find_fetches(parse(page))) and read(page).base
