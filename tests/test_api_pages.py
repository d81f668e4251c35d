"""The reference of the package shows every module once, in reading order, and is listed in the table of contents."""

import api_pages
import yaml

ORDER = api_pages.read_order()


def test_every_module_is_on_one_page(tmp_path):
    api_pages.write_pages(tmp_path)
    pages = [tmp_path / "api" / f"{api_pages.slug(title)}.md" for title in api_pages.PARTS.values()]
    assert sorted(pages) == sorted((tmp_path / "api").iterdir())
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [line.split(".")[-1] for line in text.splitlines() if line.startswith(".. automodule::")] == ORDER
    assert all(f"(api-{api_pages.slug(module)})=" in text for module in ORDER)


def test_every_page_is_in_the_table_of_contents():
    toc = yaml.safe_load((api_pages.ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    listed = next(chapter["sections"] for chapter in chapters if chapter["file"] == "book/api")
    titles = api_pages.PARTS.values()
    assert [section["file"] for section in listed] == [f"book/api/{api_pages.slug(title)}" for title in titles]
