"""Make slides for each session from the pages of the built book: build/html/notebooks/ -> build/slides/NN_topic.html.

Of a chapter they show what a room looks at together: at a glance, the question, the first numbered equation, each
figure, the summary, and what everybody can do afterwards. Arrow keys, space, Home and End move from one to the next;
without a script one scrolls, and on paper each is a page. Formulas and fonts come with them, from no other host.
"""

import re
import shutil
import sys
from pathlib import Path

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "build" / "html"
SLIDES = ROOT / "build" / "slides"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="slides.css">
{scripts}
</head>
<body>
<main>
{slides}
</main>
</body>
</html>
"""
MATHJAX = '<script>window.MathJax = {options}</script>\n<script defer src="mathjax/tex-chtml-full.js"></script>'
SCRIPT = '<script defer src="slides.js"></script>'


def choose(page):
    """Return (heading, [elements]) of each slide of a chapter's page."""
    article = page.select_one("article.bd-article")
    for element in article.select("a.headerlink, .admonition.dropdown, .toggle"):
        element.decompose()
    title = article.h1.get_text().strip()
    slides = [(title, [article.select_one(".admonition.seealso")])]
    section = article.select_one("section#the-question")
    slides.append((section.h2.get_text().strip(), section.find_all("p", recursive=False)))
    equation = article.select_one('div.math[id^="equation-"]') or article.select_one("div.math")
    shown = ([equation] if equation else []) + article.select("figure")
    slides += [(element.find_previous("h2").get_text().strip(), [element]) for element in shown]
    for name in ("summary", "after-this-chapter-you-can"):
        section = article.select_one(f"section#{name}")
        slides.append((section.h2.get_text().strip(), section.find_all(["p", "ul"], recursive=False)))
    return slides


def write_slide(heading, elements, first):
    """Return a slide as HTML; what was a link in the book is text here."""
    level = "h1" if first else "h2"
    body = BeautifulSoup("".join(str(element) for element in elements), "html.parser")
    for link in body.select("a"):
        link.unwrap()
    for element in body.find_all(id=True):
        del element["id"]
    return f'<section class="slide" tabindex="-1">\n<{level}>{heading}</{level}>\n{body}\n</section>'


def write_chapter(path, folder):
    """Write the slides of one chapter and return (title, name of the file)."""
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    slides = choose(page)
    html = "\n".join(write_slide(*slide, first=i == 0) for i, slide in enumerate(slides))
    for source in re.findall(r'src="(\.\./_images/[^"]+)"', html):
        image = (path.parent / source).resolve()
        (folder / "images").mkdir(exist_ok=True)
        shutil.copy(image, folder / "images")
        html = html.replace(source, f"images/{image.name}")
    options = re.search(r"window\.MathJax = (\{.*?\})</script>", str(page), re.DOTALL)[1]
    title = slides[0][0]
    scripts = f"{MATHJAX.format(options=options)}\n{SCRIPT}"
    (folder / path.name).write_text(PAGE.format(title=title, scripts=scripts, slides=html), encoding="utf-8")
    return title, path.name


def write_slides(html, folder):
    """Write the slides of all chapters of a built book into a new folder, with a page that lists them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("slides.css", "slides.js"):
        shutil.copy(Path(__file__).with_name(name), folder)
    shutil.copytree(html / "_static" / "mathjax", folder / "mathjax")
    chapters = [write_chapter(path, folder) for path in sorted((html / "notebooks").glob("[0-9][0-9]_*.html"))]
    items = "\n".join(f'<li><a href="{name}">{title}</a></li>' for title, name in chapters)
    body = f'<section class="contents">\n<h1>Slides</h1>\n<ul>\n{items}\n</ul>\n</section>'
    (folder / "index.html").write_text(PAGE.format(title="Slides", scripts="", slides=body), encoding="utf-8")
    return [name for _, name in chapters]


if __name__ == "__main__":
    if not (HTML / "notebooks").exists():
        sys.exit("slides are made from the pages of the book: make book comes first")
    print(f"{len(write_slides(HTML, SLIDES))} chapters in {SLIDES.relative_to(ROOT)}/, open index.html")
