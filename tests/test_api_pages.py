"""The reference of the package shows every module once, in reading order, and is listed in the table of contents."""

import api_pages
import yaml

PAGES = [api_pages.page_of(room) for room in api_pages.read_rooms()]


def test_every_module_is_on_one_page(tmp_path):
    api_pages.write_pages(tmp_path)
    assert sorted(tmp_path / page for page in PAGES) == sorted((tmp_path / "api").iterdir())
    text = "".join((tmp_path / page).read_text(encoding="utf-8") for page in PAGES)
    listed = [line.partition("qrgmm.")[2] for line in text.splitlines() if line.startswith(".. automodule::")]
    assert listed == api_pages.list_modules()
    assert all(f"(api-{api_pages.slug(module)})=" in text for module in listed)


def test_every_page_is_in_the_table_of_contents():
    toc = yaml.safe_load((api_pages.ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    listed = next(chapter["sections"] for chapter in chapters if chapter["file"] == "book/api")
    assert [section["file"] for section in listed] == [f"book/{page.removesuffix('.md')}" for page in PAGES]
