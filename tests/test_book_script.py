"""The script of all pages: a solution asks once more before it shows, and is there without a script, too."""

import asyncio

import pytest
from pages import BROWSER, ROOT, look, press, write_page

SOLUTION = """<main class="bd-article"><h1>Page</h1>
<div class="solution admonition" id="solution-1"><p class="admonition-title">Solution to Exercise 1</p>
<section><p id="answer">42</p></section></div></main>
<style>summary, p {{ color: #000; background: #fff }}</style><script>{script}</script>"""
SEEN = "document.querySelector('#answer').checkVisibility()"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: no page was opened")
def test_a_solution_asks_once_more(tmp_path):
    script = (ROOT / "book" / "_static" / "book.js").read_text(encoding="utf-8")
    page = write_page(tmp_path / "solution.html", SOLUTION.format(script=script))

    async def visit(port, pages):
        tab = await look.connect(port)
        try:
            found, seen = await tab.open(page, 1000, "light"), [await tab.evaluate(SEEN)]
            await tab.evaluate("document.querySelector('.solution summary').focus(); null")
            await press(tab, "Enter")
            seen.append(await tab.evaluate(SEEN))
            faults = look.find_faults(found | {"theme": "light"}, tab.events, 1000, "light") + await tab.audit()
            await tab.call("Emulation.setScriptExecutionDisabled", value=True)
            await tab.open(page, 1000, "light")
            return [*seen, await tab.evaluate(SEEN)], faults
        finally:
            tab.socket.close()

    seen, faults = asyncio.run(look.start_and_look(BROWSER, [page], visit))
    assert seen == [False, True, True]
    assert faults == []
