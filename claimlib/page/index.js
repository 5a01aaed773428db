"use strict";
(() => {
  const root = document.documentElement;
  const form = document.getElementById("filters");
  const boxes = [...form.querySelectorAll("input[name=outcome]")];
  const model = form.elements.model;
  const claims = [...document.querySelectorAll("article.claim")];
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  root.classList.add("scripted");

  // A claim stands while one of its verdicts does; without any, while it was not run.
  function filter() {
    const outcomes = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const at = model.selectedIndex;
    let verdicts = 0;
    let shown = 0;
    for (const claim of claims) {
      let stands = 0;
      for (const row of claim.querySelectorAll("tr.verdict")) {
        const fits = !model.value || row.dataset.model === model.value;
        row.hidden = !(fits && outcomes.has(row.dataset.outcome));
        stands += !row.hidden;
      }
      const lacks = claim.querySelector(`[data-lacking~="s${at - 1}"]`);
      const missing = outcomes.has("not run") && (at > 0 ? lacks : "never" in claim.dataset);
      const gap = claim.querySelector(".gap");
      gap.hidden = !(missing && !("never" in claim.dataset));
      gap.textContent = gap.hidden ? "" : `Not run on ${model.value}: ${lacks.firstElementChild.textContent}`;
      claim.hidden = !(stands || missing);
      verdicts += stands;
      shown += !claim.hidden;
    }
    for (const part of document.querySelectorAll(".part-of-paper")) {
      part.hidden = !part.querySelector("article.claim:not([hidden])");
    }
    document.getElementById("nothing").hidden = shown > 0;
    document.getElementById("shown").textContent =
      `Shown: ${plural(verdicts, "verdict")}; ${shown} of ${plural(claims.length, "claim")}.`;
  }

  // Which verdicts are shown stands in the address, so that it can be sent to somebody.
  function remember() {
    const chosen = new URLSearchParams();
    if (!boxes.every((box) => box.checked)) {
      boxes.filter((box) => box.checked).forEach((box) => chosen.append("outcome", box.value));
      if (![...chosen].length) chosen.append("outcome", "");
    }
    if (model.value) chosen.append("model", model.value);
    const told = chosen.toString();
    history.replaceState(null, "", told ? `#${told}` : location.pathname + location.search);
    filter();
  }

  function all() {
    boxes.forEach((box) => { box.checked = true; });
    model.value = "";
  }

  function obey() {
    const told = location.hash.slice(1);
    if (told.includes("=")) {
      const chosen = new URLSearchParams(told);
      const outcomes = chosen.getAll("outcome");
      all();
      if (outcomes.length) boxes.forEach((box) => { box.checked = outcomes.includes(box.value); });
      model.value = chosen.get("model") ?? "";
      if (model.selectedIndex < 0) model.value = "";
      filter();
      return true;
    }
    const target = told && document.getElementById(told);
    if (target && target.matches("article.claim")) {
      if (target.hidden) { all(); filter(); }
      target.querySelector("details").open = true;
      target.scrollIntoView();
    }
    return false;
  }

  form.addEventListener("change", remember);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => { event.preventDefault(); all(); remember(); });
  document.getElementById("all").addEventListener("click", () => {
    all();
    remember();
    boxes[0].focus();
  });
  addEventListener("hashchange", () => {
    if (obey()) {
      const title = document.getElementById("verdicts-title");
      title.scrollIntoView();
      title.focus({ preventScroll: true });
    }
  });

  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const tell = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  dark.addEventListener("change", tell);
  tell();

  // Numbers of figures, of which some have hundreds, stay in their files.
  const closed = () => document.querySelectorAll("details:not([open]):not(figure details)");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...closed()];
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));

  filter();
  obey();
})();
