// What scrolls by itself can be reached and moved by keyboard, also what was folded or typeset after the page had loaded.
const SCROLLING = ".bd-article pre, .bd-article table, .bd-article div.math, .bd-article mjx-container[display='true']";

function reachByKeyboard() {
  for (const each of document.querySelectorAll(SCROLLING)) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
}

addEventListener("load", () => {
  const observer = new ResizeObserver(reachByKeyboard);
  // Also each by itself: what unfolds slowly gets narrower after the article has grown.
  for (const each of document.querySelectorAll("article, " + SCROLLING)) observer.observe(each);
});
