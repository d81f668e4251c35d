// What scrolls by itself can be reached and moved by keyboard, also what was folded or typeset after the page had loaded.
const SCROLLING = ".bd-article pre, .bd-article table, .bd-article div.math, .bd-article mjx-container[display='true']";

function reachByKeyboard() {
  for (const each of document.querySelectorAll(SCROLLING)) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
}

addEventListener("load", () => new ResizeObserver(reachByKeyboard).observe(document.querySelector("article")));
