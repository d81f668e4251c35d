"""What tests of pages share: an engine for their scripts, a browser, and a reader at its keyboard."""

import importlib.util
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NODE = shutil.which("node")
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "Home": 36, "End": 35, "PageUp": 33, "PageDown": 34}
KEYS |= {"Tab": 9, "Enter": 13, " ": 32}


def load_look():
    spec = importlib.util.spec_from_file_location("look", ROOT / "book" / "look.py")
    look = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(look)
    return look


look = load_look()
BROWSER = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, look.BROWSERS)), None)


async def press(tab, key, times=1):
    """Press a key of the keyboard, as a reader would."""
    code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
    for _ in range(times):
        text = {"text": "\r"} if key == "Enter" else {}
        await tab.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        await tab.call("Input.dispatchKeyEvent", type="keyUp", **code)


def write_page(path, html):
    """Write a page that holds `html`, and return its path."""
    path.write_text(f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>page</title>{html}</html>', "utf-8")
    return path
