"""Open every built page in headless Chromium, check what only a browser can know, and photograph it.

Each page is opened at two widths, light and dark, without network. It must log nothing on the console, ask no host for
anything, render every formula, and not be wider than the window. With all that it hides unfolded, it must pass the
checker of accessibility axe-core: contrast, headings in order, names of links and buttons, what the keyboard can reach.
And at the larger width no line of code or of output is wider than its box.
Pictures go to build/screenshots/.
Needs a Chromium on the machine (`chromium`, `chromium-browser`, `google-chrome`, or $CHROMIUM); without one it says so.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "build" / "html"
SCREENSHOTS = ROOT / "build" / "screenshots"
WIDTHS, SCHEMES, HEIGHT = (1400, 420), ("light", "dark"), 900
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]
MEASURE = """(async () => {
  await document.fonts.ready;
  if (window.MathJax?.startup) await MathJax.startup.promise;
  const article = document.querySelector(".bd-article") ?? document.body;
  const words = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  let raw = false;
  while (words.nextNode()) {
    const word = words.currentNode;
    raw ||= !word.parentElement.closest("pre, code, script, mjx-container") && /\\\\[(\\[]/.test(word.data);
  }
  return {
    formulas: document.querySelectorAll(".math").length,
    rendered: document.querySelectorAll(".math mjx-container, mjx-container .math").length,
    wrong: document.querySelectorAll("mjx-merror, [data-mjx-error]").length,
    raw, width: document.documentElement.scrollWidth, window: window.innerWidth,
    images: [...document.images].filter(i => i.complete && !i.naturalWidth && i.offsetParent).map(i => i.src),
    theme: document.documentElement.dataset.theme, height: document.documentElement.scrollHeight,
  };
})()"""
AUDIT = """(async () => {
  document.querySelectorAll("details").forEach(each => each.open = true);
  document.querySelectorAll(".toggle-hidden").forEach(each => each.classList.remove("toggle-hidden"));
  await new Promise(resolve => setTimeout(resolve, 800));  // colours fade in, and scripts look at what was unfolded
  const found = await axe.run(document, {resultTypes: ["violations"], rules: {"link-in-text-block": {enabled: true}}});
  return found.violations.map(({id, help, nodes}) => {
    const {target, failureSummary} = nodes[0];
    const reason = failureSummary.split("\\n").pop().trim();
    return `${help} (${id}), ${nodes.length} times, first at ${target.join(" ")}: ${reason}`;
  });
})()"""

WIDE = """[...document.querySelectorAll(".bd-article pre")]
  .filter(p => p.clientWidth && p.scrollWidth > p.clientWidth + 1)
  .map(p => p.textContent.split("\\n").reduce((a, b) => a.length >= b.length ? a : b))"""  # the longest line of each


class Tab:
    """One tab, driven through the DevTools protocol; `events` are what it reported since it opened its page."""

    def __init__(self, socket):
        self.socket, self.ids, self.events = socket, itertools.count(1), []

    async def call(self, method, **parameters):
        call_id = next(self.ids)
        await self.socket.write_message(json.dumps({"id": call_id, "method": method, "params": parameters}))
        while (message := json.loads(await self.socket.read_message())).get("id") != call_id:
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    async def open(self, page, width, scheme):
        """Open a page and return what MEASURE finds there."""
        await self.resize(width, HEIGHT)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events = []
        await self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(await self.socket.read_message()))
        return await self.evaluate(MEASURE)

    async def evaluate(self, expression):
        """Return the value of a script in the page, waiting for it if it is a promise."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", "a script failed"))
        return answer["result"].get("value")

    async def audit(self):
        """Return what axe-core finds wrong with the page, as a list of sentences."""
        await self.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8") + "; null")
        return await self.evaluate(AUDIT)

    async def resize(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def photograph(self, file, width, height):
        # A window as high as the page: a picture of more than the window shows long pages in a wrong layout.
        await self.resize(width, min(height, 16_000))
        picture = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(picture["data"]))


def find_faults(found, events, width, scheme):
    """Return what is wrong with a page, as a list of sentences."""
    faults = []
    for event in events:
        parameters = event["params"]
        match event["method"]:
            case "Network.requestWillBeSent":
                address = parameters["request"]["url"]
                if not address.startswith(("file:", "data:", "blob:")):
                    faults.append(f"asks for {address}")
            case "Runtime.exceptionThrown":
                thrown = parameters["exceptionDetails"]
                faults.append(f"script error: {thrown.get('exception', {}).get('description', thrown['text'])}")
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                faults.append(f"console: {' '.join(str(argument.get('value', '')) for argument in parameters['args'])}")
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                faults.append(f"log: {parameters['entry']['text']} {parameters['entry'].get('url', '')}")
    if found["rendered"] < found["formulas"] or found["raw"] or found["wrong"]:
        faults.append(f"{found['rendered']} of {found['formulas']} formulas rendered, {found['wrong']} with an error")
    if found["width"] > found["window"]:
        faults.append(f"is {found['width']} pixels wide in a window of {width}")
    if found["theme"] != scheme:
        faults.append(f"shows itself {found['theme']} to a reader who wants it {scheme}")
    return faults + [f"image does not load: {source}" for source in found["images"]]


async def connect(port):
    """Return the browser's one tab."""
    targets = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json")
    address = next(t["webSocketDebuggerUrl"] for t in json.loads(targets.body) if t["type"] == "page")
    tab = Tab(await websocket_connect(address, max_message_size=200_000_000))
    for domain in ("Page", "Runtime", "Network", "Log"):
        await tab.call(f"{domain}.enable")
    return tab


async def look(port, pages):
    tab = await connect(port)
    formulas, faults = 0, []
    visits = list(itertools.product(pages, WIDTHS, SCHEMES))
    for page, width, scheme in tqdm(visits, desc="pages", unit="view"):
        found = await tab.open(page, width, scheme)
        name = "-".join(page.relative_to(HTML).with_suffix("").parts)
        await tab.photograph(SCREENSHOTS / f"{name}-{width}-{scheme}.png", width, found["height"])
        formulas += found["rendered"]
        view = f"{name}, {width} pixels, {scheme}"
        wrong = find_faults(found, tab.events, width, scheme) + await tab.audit()
        if width == max(WIDTHS):  # after the audit, which has unfolded all code
            wrong += [f"wider than its box: {line.strip()}" for line in await tab.evaluate(WIDE)]
        faults += [f"{view}: {fault}" for fault in wrong]
    print(f"{len(pages)} pages, {len(visits)} views, {formulas} formulas; pictures in {SCREENSHOTS.relative_to(ROOT)}/")
    return faults


async def start_and_look(browser, pages, visit=look):
    """Start a browser, have the pages visited, and return what `visit` found."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            port_file = Path(profile, "DevToolsActivePort")
            for _ in range(300):
                if port_file.exists() and port_file.read_text(encoding="utf-8").strip():
                    break
                await asyncio.sleep(0.1)
            return await visit(port_file.read_text(encoding="utf-8").split()[0], pages)
        finally:
            process.terminate()
            process.wait()


def main():
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("no Chromium on this machine: the pages were not looked at")
        return
    if not HTML.exists():
        sys.exit("no book is built: run make book first")
    pages = [HTML / "search.html", *sorted(HTML.glob("book/**/*.html")), *sorted(HTML.glob("notebooks/*.html"))]
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)
    faults = asyncio.run(start_and_look(browser, pages))
    if faults:
        sys.exit("\n".join([f"{len(faults)} faults:", *faults]))


if __name__ == "__main__":
    main()
