"""Slides show what they choose from a chapter's page, move by keyboard, and ask no other host for anything."""

import asyncio
import re
import shutil

import pytest
import slides
from bs4 import BeautifulSoup
from pages import BROWSER, ROOT, look, press

PAGE = r"""<html><head><script>window.MathJax = {"tex": {"macros": {"PD": "P"}}}</script></head><body>
<article class="bd-article"><section id="a-chapter">
<h1>4. A chapter<a class="headerlink" href="#a-chapter">#</a></h1>
<div class="admonition seealso"><p class="admonition-title">At a glance</p><dl><dt>Needs</dt>
<dd>see <a href="other.html">chapter 1</a></dd></dl></div>
<section id="the-question"><h2>4.1. The question</h2><p>How much?</p></section>
<section id="after-this-chapter-you-can"><h2>4.2. After this chapter you can</h2><ul><li>lend.</li></ul>
<div class="cell">code</div></section>
<section id="a-law"><h2>4.3. A law</h2><div class="math notranslate">\[x\]</div><p>Not chosen.</p>
<div class="math notranslate" id="equation-eq-a"><span class="eqno">(4.1)</span>\[\PD(\ell)\]</div>
<div class="cell"><figure id="fig-a"><img alt="A line." src="../_images/a.png"/><figcaption>Fig. 4.1</figcaption>
</figure></div></section>
<section id="summary"><h2>4.4. Summary</h2><p>So much.</p></section>
<section id="exercises"><h2>4.5. Exercises</h2><div class="admonition solution dropdown toggle">
<figure id="fig-b"><img alt="Hidden." src="../_images/b.png"/></figure></div></section>
</section></article></body></html>
"""
SHOWN = """(() => {
  const top = [...document.querySelectorAll(".slide")].map(slide => Math.abs(slide.getBoundingClientRect().top));
  return [top.indexOf(Math.min(...top)), document.querySelector("[role=status]")?.textContent ?? null,
    location.hash, document.documentElement.scrollWidth <= innerWidth];
})()"""


@pytest.fixture
def made(tmp_path):
    """Slides of a book of one small chapter."""
    html = tmp_path / "html"
    for folder in ("notebooks", "_images", "_static/mathjax"):
        (html / folder).mkdir(parents=True)
    (html / "notebooks" / "04_a.html").write_text(PAGE, encoding="utf-8")
    shutil.copy(ROOT / "book" / "_static" / "cover.png", html / "_images" / "a.png")
    (html / "_static" / "mathjax" / "tex-chtml-full.js").write_text("", encoding="utf-8")
    assert slides.write_slides(html, tmp_path / "slides") == ["04_a.html"]
    return tmp_path / "slides"


def test_what_a_room_looks_at_is_chosen_and_nothing_else(made):
    page = BeautifulSoup((made / "04_a.html").read_text(encoding="utf-8"), "html.parser")
    heads = [slide.find(["h1", "h2"]).get_text() for slide in page.select(".slide")]
    names = ["A chapter", "The question", "A law", "A law", "Summary", "After this chapter you can"]
    assert [head.partition(". ")[2] for head in heads[:1]] + [head.split(". ")[1] for head in heads[1:]] == names
    text = page.main.get_text()
    assert "How much?" in text and "chapter 1" in text and r"\[\PD(\ell)\]" in text and "lend." in text
    assert "Not chosen" not in text and r"\[x\]" not in text and "code" not in text and "#" not in text
    assert [image["src"] for image in page.select("img")] == ["images/a.png"] and page.img["alt"] == "A line."
    assert not page.main.select("a, [id]") and (made / "images" / "a.png").exists()
    assert '"macros": {"PD": "P"}' in str(page.head)


def find_hosts(folder):
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.*") if path.suffix in (".html", ".css", ".js")]
    pattern = re.compile(r"""(?:src|href)=["'](?:https?:)?//[^"']+|url\([^)]+\)""")
    return [host for text in texts for host in pattern.findall(text)]


def test_slides_ask_no_other_host(made):
    assert find_hosts(made) == []
    pages = [BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in made.glob("*.html")]
    fetched = [tag.get("src") or tag.get("href") for page in pages for tag in page.select("[src], link, a")]
    assert fetched and not [name for name in fetched if not (made / name).exists()]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: the slides were not shown")
def test_slides_move_by_keyboard_and_remember_their_place(made):
    page = made / "04_a.html"

    async def visit(port, pages):
        tab = await look.connect(port)
        try:
            found, seen = await tab.open(page, 1400, "light"), []
            for key in ("ArrowRight", "ArrowDown", "End", "ArrowRight", "ArrowLeft", "Home", "ArrowLeft", " "):
                await press(tab, key)
                await asyncio.sleep(0.3)
                seen.append(await tab.evaluate(SHOWN))
            faults = look.find_faults(found | {"theme": "light", "rendered": 0, "formulas": 0, "raw": False},
                                      tab.events, 1400, "light")  # fmt: skip
            faults += await tab.audit()
            await tab.open(page, 420, "dark")
            narrow = (await tab.evaluate(SHOWN))[3]
            await tab.call("Emulation.setScriptExecutionDisabled", value=True)
            await tab.open(page, 1400, "light")
            return seen, faults, narrow, await tab.evaluate("document.body.innerText.includes('So much.')")
        finally:
            tab.socket.close()

    seen, faults, narrow, without_script = asyncio.run(look.start_and_look(BROWSER, [page], visit))
    at = [1, 2, 5, 5, 4, 0, 0, 1]
    assert seen == [[i, f"{i + 1} / 6", f"#{i + 1}", True] for i in at]
    assert faults == [] and narrow and without_script


@pytest.mark.skipif(not slides.HTML.exists(), reason="no book is built; make book builds one")
def test_every_chapter_of_the_book_has_slides(tmp_path):
    names = slides.write_slides(slides.HTML, tmp_path / "slides")
    chapters = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.md"))
    assert [name.partition(".")[0] for name in names] == chapters
    for name in names:
        page = BeautifulSoup((tmp_path / "slides" / name).read_text(encoding="utf-8"), "html.parser")
        assert 6 <= len(page.select(".slide")) <= 20 and page.select("figure img[alt]")
    assert find_hosts(tmp_path / "slides") == []
