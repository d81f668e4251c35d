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

// One switch for all code that the page folds (folded_code.py). The choice is kept; without a script each fold opens by
// itself, so the switch is made here and not in the page.
const KEPT = "show-all-code";

function addSwitch() {
  const folds = document.querySelectorAll("details.hide");
  const place = document.querySelector(".article-header-buttons");
  if (!folds.length || !place) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm show-all-code";
  button.textContent = "Show all code";

  function show(all) {
    button.setAttribute("aria-pressed", all);
    for (const fold of folds) fold.open = all;
  }
  button.addEventListener("click", () => {
    const all = button.getAttribute("aria-pressed") !== "true";
    show(all);
    try { localStorage.setItem(KEPT, all); } catch { /* a browser may keep nothing */ }
  });
  let all = false;
  try { all = localStorage.getItem(KEPT) === "true"; } catch { /* as above */ }
  show(all);
  place.prepend(button);
}

addEventListener("DOMContentLoaded", addSwitch);

// A solution that was unfolded in passing is not yet read: it asks once more.
function askAgain() {
  for (const answer of document.querySelectorAll(".bd-article .solution > section")) {
    const fold = document.createElement("details");
    const question = document.createElement("summary");
    fold.className = "tried";
    question.textContent = "Tried it yourself? Then open the solution";
    answer.replaceWith(fold);
    fold.append(question, answer);
  }
}

addEventListener("DOMContentLoaded", askAgain);
