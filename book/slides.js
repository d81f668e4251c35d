// Move from slide to slide by keys or buttons; the address says which one is shown, so that it can be reloaded.
const slides = [...document.querySelectorAll(".slide")];
const STEPS = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
let current = 0;

function show(number) {
  current = Math.min(Math.max(number, 0), slides.length - 1);
  slides[current].scrollIntoView();
  slides[current].focus({ preventScroll: true });
  say();
}

function say() {
  words.textContent = `${current + 1} / ${slides.length}`;
  history.replaceState(null, "", `#${current + 1}`);
}

const place = document.createElement("nav");
place.className = "place";
place.setAttribute("aria-label", "Slides");
const words = document.createElement("span");
words.setAttribute("role", "status");
for (const [text, name, step] of [["←", "Previous slide", -1], ["→", "Next slide", 1]]) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.setAttribute("aria-label", name);
  button.addEventListener("click", () => show(current + step));
  place.append(button);
}
place.append(words);
document.body.append(place);

addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("button") && event.key === " ") return;  // that presses it
  const goal = { Home: 0, End: slides.length - 1 }[event.key] ?? current + STEPS[event.key];
  if (Number.isNaN(goal)) return;
  event.preventDefault();
  show(goal);
});

// Who scrolls moves on, too.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) current = slides.indexOf(entry.target);
  say();
}, { threshold: 0.6 });
for (const slide of slides) seen.observe(slide);

addEventListener("load", () => show(Number(location.hash.slice(1) || 1) - 1));
