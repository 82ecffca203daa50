"use strict";

// The list of turns without this script is whole. Here neighbours of one emotion are folded into a row,
// and a search, emotions and marks choose what is shown; while they do, nothing is folded.
const makeList = (section, turns, numberOf, bars, turnsOf) => {
  const tools = section.querySelector(".tools");
  const rowOf = [];
  for (const row of section.querySelectorAll(".run")) {
    const first = numberOf.get(row.nextElementSibling);
    const button = row.querySelector("button");
    const run = { row, button, turns: turns.slice(first, first + Number(row.dataset.count)), open: false };
    for (let k = 0; k < run.turns.length; k++) rowOf[first + k] = run;
    button.addEventListener("click", () => {
      run.open = !run.open;
      show();
    });
  }
  const runs = [...new Set(rowOf.filter(Boolean))];
  const input = tools?.querySelector("input");
  const fold = tools?.querySelector(".fold");
  const choices = [...(tools?.querySelectorAll("[data-emotion], [data-mark]") ?? [])];
  const found = tools?.querySelector(".found");
  let folding = runs.length > 0 && "folded" in section.dataset;
  let words;

  const chosen = (kind) => choices.filter((c) => c.getAttribute("aria-pressed") === "true" && kind in c.dataset);

  // What the turn shows, in lower case, is what is searched.
  const wordsOf = (number) => {
    words ??= turns.map((turn) =>
      [".feel", ".text"].map((part) => turn.querySelector(part).textContent).join(" ").toLowerCase());
    return words[number];
  };

  const filters = () => {
    const tests = [];
    const terms = (input?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    if (terms.length) tests.push((number) => terms.every((term) => wordsOf(number).includes(term)));
    const emotions = chosen("emotion").map((choice) => choice.dataset.emotion);
    if (emotions.length) tests.push((number) => emotions.some((name) => turns[number].classList.contains(name)));
    const marks = chosen("mark").map((choice) => choice.dataset.mark);
    if (marks.length) {
      tests.push((number) => {
        const own = (turns[number].dataset.marks ?? "").split(" ");
        return marks.some((mark) => own.includes(mark));
      });
    }
    return tests;
  };

  const show = () => {
    const tests = filters();
    const filtering = tests.length > 0;
    const matches = turns.map((_, number) => tests.every((test) => test(number)));
    section.classList.toggle("folding", folding && !filtering);
    for (const run of runs) {
      run.row.hidden = filtering || !folding;
      run.button.setAttribute("aria-expanded", run.open);
    }
    turns.forEach((turn, number) => {
      const run = rowOf[number];
      turn.hidden = filtering ? !matches[number] : folding && run !== undefined && !run.open;
    });
    bars.forEach((bar, k) => bar.classList.toggle("dim", filtering && !turnsOf[k].some((number) => matches[number])));
    if (!tools) return;
    if (fold) {
      fold.setAttribute("aria-pressed", folding);
      fold.disabled = filtering;
    }
    const count = matches.filter(Boolean).length.toLocaleString("en");
    found.textContent = filtering ? `${count} of ${turns.length.toLocaleString("en")} turns` : "";
  };

  const clear = () => {
    input.value = "";
    for (const choice of choices) choice.setAttribute("aria-pressed", "false");
  };

  if (tools) {
    tools.hidden = false;
    input.addEventListener("input", show);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      clear();
      show();
    });
    for (const choice of choices) {
      choice.addEventListener("click", () => {
        choice.setAttribute("aria-pressed", choice.getAttribute("aria-pressed") !== "true");
        show();
      });
    }
    fold?.addEventListener("click", () => {
      folding = !folding;
      for (const run of runs) run.open = false;
      show();
    });
  }
  show();

  return {
    // Unfolds, or ends a search, where either hides the turn.
    reveal: (number) => {
      if (!turns[number].hidden) return;
      if (filters().length) clear();
      if (rowOf[number]) rowOf[number].open = true;
      show();
    },
    rowOf: (number) => rowOf[number]?.row,
    links: () =>
      [...section.querySelectorAll(".turn:not([hidden]) > .at, .run:not([hidden]) > button")],
  };
};
