// Answers in numbers are compared in the page, and counted at its end.
const forms = [...document.querySelectorAll("form.quiz-number")];
const total = document.querySelector(".quiz-score");

function read(text) {
  const number = text.trim().replace(",", ".").replace("\u2212", "-");
  return number === "" ? NaN : Number(number);
}

function count() {
  const answered = forms.filter((form) => form.dataset.right);
  const right = answered.filter((form) => form.dataset.right === "true");
  total.textContent = `Your score: ${right.length} of ${forms.length} right, ${answered.length} answered.`;
}

for (const form of forms) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const answer = read(form.querySelector("input").value);
    const said = form.querySelector("output");
    if (Number.isNaN(answer)) {
      said.textContent = "A number, please, such as 0.25.";
      return;
    }
    // As far as rounding goes, an answer at the edge is inside.
    const right = Math.abs(answer - form.dataset.answer) <= form.dataset.tolerance * (1 + 1e-9);
    form.dataset.right = right;
    said.textContent = right ? "Right." : "Not right.";
    count();
  });
}
total.hidden = false;
count();
