"use strict";
// What is on the page is in `data`; what is looked at is in `now`, which the address holds, too.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const STEPS = 256, LEAST = 65535; // see `packed`
const STOPS = [[20, 14, 66, 0.66], [112, 30, 112, 0.66], [205, 66, 78, 0.66], [248, 155, 45, 0.7], [253, 243, 160, 0.78]];
const LISTED = 12; // tokens without a place in a row
const now = { token: 0, layer: 0, word: "", mode: "tokens", view: 0 };
const cells = new Map(); // of the tokens that are drawn
let ids, top5, exact, rows;

// Numbers ------------------------------------------------------------------------------------

async function unpack() {
  const bytes = Uint8Array.from(atob(data.block), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const block = new Uint8Array(await new Response(stream).arrayBuffer());
  const each = data.states * data.tokens.length;
  let start = 0;
  const next = (count, width) => {
    const found = new Uint32Array(count);
    for (let byte = 0; byte < width; byte++) {
      for (let place = 0; place < count; place++) found[place] |= block[start++] << (8 * byte);
    }
    return found;
  };
  ids = next(each * data.k, 4);
  top5 = next(each * data.k, 2);
  exact = data.words.map(() => next(each, 2));
}

const at = (layer, token) => layer * data.tokens.length + token;
const probability = (steps) => (steps === LEAST ? 0 : 2 ** (-steps / STEPS));

function told(steps) {
  if (steps === LEAST) return "< 1e-45";
  if (steps === 0) return "> 99.8 %";
  const p = probability(steps);
  return p >= 0.001 ? `${Number((100 * p).toPrecision(3))} %` : p.toExponential(1);
}

// Texts: whatever a token holds is shown as text, and what cannot be seen as a sign --------------

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

function sign(letter) {
  const code = letter.codePointAt(0);
  if (code < 32) return String.fromCharCode(0x2400 + code);
  return code === 127 ? "\u2421" : `\\u{${code.toString(16)}}`;
}

function visible(text) {
  const shown = text.replace(HIDDEN, sign).replace(/\p{Zs}/gu, "\u2423");
  return /^\p{M}/u.test(shown) ? `\u25cc${shown}` : shown;
}

const key = (text) => text.trim().toLowerCase();
const shownTexts = data.texts.map((text, which) => visible(text) || `#${data.ids[which]}`);
const keys = data.texts.map(key);

function element(name, attributes = {}, ...children) {
  const svg = ["path", "line", "circle", "polyline", "text"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

// The word -----------------------------------------------------------------------------------

const known = new Map(data.words.map((word, which) => [key(word.text), which]).reverse());
const asked = () => key(now.word);
const exactly = () => known.get(asked());

function rankOf(layer, token) {
  const first = at(layer, token) * data.k;
  for (let rank = 0; rank < data.k; rank++) if (keys[ids[first + rank]] === asked()) return rank;
  return -1;
}

// What is known of the word at a token: its probability in steps, and its rank among the likeliest.
function found(layer, token) {
  const rank = rankOf(layer, token), which = exactly();
  if (which !== undefined) return { steps: exact[which][at(layer, token)], rank };
  return rank < 0 ? null : { steps: top5[at(layer, token) * data.k + rank], rank };
}

function largest(layer) {
  let least = LEAST;
  for (let token = 0; token < data.tokens.length; token++) {
    const here = found(layer, token);
    if (here && here.steps < least) least = here.steps;
  }
  return least;
}

function counts() {
  return Array.from({ length: data.states }, (_, layer) =>
    data.tokens.filter((_, token) => rankOf(layer, token) >= 0).length);
}

// Where tokens are -----------------------------------------------------------------------------

const beside = new Map(data.beside);
const isObject = new Set(data.object);

function viewOf(token) {
  if (data.views[now.view]?.cells.includes(token)) return now.view;
  return data.views.findIndex((view) => view.cells.includes(token));
}

function whereabouts(token) {
  const parts = [`token ${token + 1} of ${data.tokens.length}`];
  const which = viewOf(token);
  if (which >= 0) {
    const { cells, cols } = data.views[which], place = cells.indexOf(token);
    if (data.views.length > 1) parts.push(`view ${which + 1}`);
    parts.push(`row ${Math.floor(place / cols) + 1}, column ${(place % cols) + 1}`);
  } else {
    parts.push(`position ${data.tokens[token]} of the prompt`, `in place of ${visible(beside.get(token))}`);
  }
  if (isObject.has(token)) parts.push("of the object");
  return parts.join(", ");
}

// The grid ---------------------------------------------------------------------------------------

function drawGrid() {
  const view = data.views[now.view];
  cells.clear();
  $("scroll").hidden = !view && !data.picture;
  $("grid").hidden = !view;
  drawPicture(view ? view.box : [0, 0, 1, 1]);
  if (view) {
    $("frame").style.setProperty("--rows", view.rows);
    $("frame").style.setProperty("--cols", view.cols);
    fill($("grid"), view.cells, view.cols);
    drawOutline(view);
  }
  $("beside").hidden = !data.beside.length;
  fill($("list"), data.beside.map(([token]) => token), LISTED);
}

// The part of the picture that a view shows fills the frame.
function drawPicture(box) {
  const [height, width] = data.size, [top, left, high, wide] = box || [0, 0, 1, 1];
  $("frame").style.setProperty("--shape", (wide * width) / (high * height));
  $("picture").hidden = !data.picture || !box;
  Object.assign($("picture").style, {
    left: `${(-100 * left) / wide}%`, top: `${(-100 * top) / high}%`,
    width: `${100 / wide}%`, height: `${100 / high}%`,
  });
}

function fill(grid, tokens, cols) {
  const lines = [];
  for (let start = 0; start < tokens.length; start += cols) {
    const line = element("div", { role: "row" });
    line.append(...tokens.slice(start, start + cols).map(cellOf));
    lines.push(line);
  }
  grid.replaceChildren(...lines);
}

function cellOf(token) {
  const cell = element("div", { role: "gridcell", class: "cell", dir: "auto" });
  if (token < 0) {
    cell.className = "cell nothing";
    cell.setAttribute("aria-label", "not read");
  } else {
    cell.dataset.token = token;
    cell.tabIndex = -1;
    cells.set(token, cell);
  }
  return cell;
}

// Along the edges between tokens of the object and others.
function drawOutline({ rows, cols, cells }) {
  const inside = (row, col) =>
    row >= 0 && col >= 0 && row < rows && col < cols && isObject.has(cells[row * cols + col]);
  let path = "";
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      if (!inside(row, col)) continue;
      if (!inside(row - 1, col)) path += `M${col} ${row}h1`;
      if (!inside(row + 1, col)) path += `M${col} ${row + 1}h1`;
      if (!inside(row, col - 1)) path += `M${col} ${row}v1`;
      if (!inside(row, col + 1)) path += `M${col + 1} ${row}v1`;
    }
  }
  const svg = $("outline");
  svg.setAttribute("viewBox", `0 0 ${cols} ${rows}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(element("path", { d: path, class: "under" }), element("path", { d: path, class: "over" }));
}

// Colours and words on the grid ------------------------------------------------------------------

// Opaque where text stands on it, which has to be read.
function colour(share, opaque) {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2), part = place - low;
  const [r, g, b, a] = STOPS[low].map((value, i) => value + part * (STOPS[low + 1][i] - value));
  return `rgb(${r.toFixed(0)} ${g.toFixed(0)} ${b.toFixed(0)} / ${opaque ? 1 : a.toFixed(2)})`;
}

function paint() {
  const most = now.mode === "word" && now.word ? probability(largest(now.layer)) : 0;
  $("frame").classList.toggle("wordy", now.mode === "tokens");
  for (const [token, cell] of cells) {
    const likeliest = ids[at(now.layer, token) * data.k];
    const here = now.word ? found(now.layer, token) : null;
    const shown = { text: "", colour: "", marks: [], told: shownTexts[likeliest] };
    if (now.mode === "tokens") inWords(shown, likeliest);
    if (now.mode === "word" && beside.has(token)) shown.text = visible(beside.get(token));
    if (now.mode === "word" && now.word) inColour(shown, here, most);
    cell.className = ["cell", ...shown.marks, ...(token === now.token ? ["chosen"] : [])].join(" ");
    cell.style.background = shown.colour;
    cell.textContent = shown.text;
    cell.tabIndex = token === now.token ? 0 : -1;
    cell.setAttribute("aria-selected", token === now.token);
    cell.setAttribute("aria-label", `${whereabouts(token)}: ${shown.told}`);
  }
  drawLegend(most);
}

function inWords(shown, likeliest) {
  shown.text = shownTexts[likeliest];
  shown.marks.push(now.word && keys[likeliest] === asked() ? "match" : "dim");
}

function inColour(shown, here, most) {
  shown.told = here ? told(here.steps) : `below the top ${data.k}`;
  if (!here) {
    shown.marks.push("below");
    return;
  }
  const share = most ? probability(here.steps) / most : 0;
  if (exactly() === undefined) shown.text = String(here.rank + 1);
  shown.colour = colour(share, shown.text);
  if (share > 0.505) shown.marks.push("ink");
}

function drawLegend(most) {
  const parts = [];
  if (now.mode === "word" && now.word && most) {
    const ramp = element("i", { class: "ramp" });
    ramp.style.background = `linear-gradient(90deg, ${STOPS.map(([r, g, b]) => `rgb(${r} ${g} ${b})`)})`;
    parts.push(element("span", {}, "0", ramp, `${told(largest(now.layer))}, the most in this layer`));
    if (exactly() === undefined) parts.push(element("span", {}, `1 to ${data.k}: its rank`));
  }
  if (now.mode === "word" && now.word && exactly() === undefined) {
    parts.push(element("span", {}, element("i", { class: "below" }), `below the top ${data.k}`));
  }
  if (data.object.length) parts.push(element("span", {}, element("i", { class: "line" }), "the object's tokens"));
  $("legend").replaceChildren(...parts);
}

// The word by layer --------------------------------------------------------------------------------

function drawAbout() {
  $("about").hidden = !now.word;
  if (!now.word) return;
  const word = data.words[exactly()], title = $("about-title");
  title.replaceChildren("\u201c", element("bdi", {}, visible(now.word)), `\u201d in layer ${now.layer}`);
  if (word) aboutExact(word);
  else aboutRanks(counts());
  $("chart").toggleAttribute("hidden", !$("chart").children.length);
}

function aboutExact(word) {
  const said = word.whole ? "" : ` Its first piece, \u201c${visible(word.piece)}\u201d, stands for it.`;
  if (!word.auc) {
    $("about-told").textContent = `Exact probabilities.${said} Which tokens are an object's is not known, or all are.`;
    $("chart").replaceChildren();
    return;
  }
  const area = word.auc[now.layer].toFixed(3);
  $("about-told").textContent =
    `Area under the curve: ${area}, the chance that it is likelier at one of the object's tokens than at another.${said}`;
  drawChart(word.auc, 1, "area under the curve", [0, 0.5, 1]);
}

function aboutRanks(found) {
  const here = found[now.layer], total = data.tokens.length;
  const none = `In no layer is it among the top ${data.k} of any token. Its probability is not known there; it is below the top ${data.k}, and not 0.`;
  const some = `Among the top ${data.k} of ${here} of ${total} tokens. At the others it is below the top ${data.k}; its probability is not known there.`;
  $("about-told").textContent = found.some(Boolean) ? some : none;
  const most = Math.max(...found);
  $("chart").replaceChildren();
  if (most) drawChart(found, most, `tokens with it in the top ${data.k}`, [0, most]);
}

const across = (layer) => 34 + (356 * layer) / Math.max(data.states - 1, 1);

function drawChart(values, most, what, marks) {
  const up = (value) => 76 - (66 * value) / most;
  const points = values.map((value, layer) => `${across(layer).toFixed(1)},${up(value).toFixed(1)}`);
  const x = across(now.layer), parts = [];
  for (const mark of marks) {
    parts.push(element("line", { class: "rule", x1: 34, x2: 390, y1: up(mark), y2: up(mark) }));
    parts.push(element("text", { x: 28, y: up(mark) + 4, "text-anchor": "end" }, String(mark)));
  }
  parts.push(element("line", { class: "now", x1: x, x2: x, y1: 10, y2: 76 }));
  parts.push(element("polyline", { class: "curve", points: points.join(" ") }));
  parts.push(element("circle", { class: "at", cx: x, cy: up(values[now.layer]), r: 4 }));
  parts.push(element("text", { x: 34, y: 92 }, "layer 0"));
  parts.push(element("text", { x: 212, y: 92, "text-anchor": "middle" }, what));
  parts.push(element("text", { x: 390, y: 92, "text-anchor": "end" }, `layer ${data.states - 1}`));
  $("chart").replaceChildren(...parts);
  const numbers = values.map((value, layer) => `layer ${layer}: ${Number(value.toFixed(3))}`);
  $("chart").setAttribute("aria-label", `${what}, ${numbers.join(", ")}`);
}

// The token by layer ---------------------------------------------------------------------------

function drawTable() {
  const heads = Array.from({ length: data.k }, (_, rank) => element("th", { scope: "col" }, `${rank + 1}`));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "layer"), ...heads));
  const body = element("tbody");
  rows = Array.from({ length: data.states }, (_, layer) => {
    const slots = Array.from({ length: data.k }, () => {
      const text = element("bdi"), number = element("small");
      return { text, number, cell: element("td", {}, element("span", {}, text, number)) };
    });
    const line = element("tr", {}, element("th", { scope: "row" }, String(layer)), ...slots.map((slot) => slot.cell));
    line.addEventListener("click", () => change({ layer }));
    body.append(line);
    return { line, slots };
  });
  $("table").replaceChildren(head, body);
}

function drawToken(token) {
  $("token-told").textContent = `${sentence(whereabouts(token))}.${ofTheWord(token)}`;
  rows.forEach(({ line, slots }, layer) => {
    line.classList.toggle("now", layer === now.layer);
    slots.forEach(({ text, number, cell }, rank) => {
      const place = at(layer, token) * data.k + rank, which = ids[place];
      text.textContent = shownTexts[which];
      text.title = `${shownTexts[which]} (token ${data.ids[which]} of the vocabulary)`;
      number.textContent = told(top5[place]);
      cell.style.setProperty("--p", probability(top5[place]).toFixed(3));
      cell.classList.toggle("match", Boolean(now.word) && keys[which] === asked());
    });
  });
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

function ofTheWord(token) {
  if (!now.word) return "";
  const here = found(now.layer, token);
  const said = here ? told(here.steps) : `below the top ${data.k}`;
  return ` \u201c${visible(now.word)}\u201d in layer ${now.layer}: ${said}.`;
}

// What is looked at ----------------------------------------------------------------------------

const address = () => {
  const { token, layer, word, mode } = now;
  return `#${new URLSearchParams({ token: token + 1, layer, mode, word })}`;
};

function change(to, moves = true) {
  Object.assign(now, to);
  const view = viewOf(now.token);
  if (to.token !== undefined && view >= 0 && view !== now.view) Object.assign(now, { view });
  if (drawn !== now.view) {
    drawn = now.view;
    drawGrid();
  }
  $("layer").value = now.layer;
  $("layer-told").textContent = `${now.layer} of ${data.states - 1}${now.layer ? "" : ", the adapter's output"}`;
  $("layer").setAttribute("aria-valuetext", $("layer-told").textContent);
  if ($("word") !== document.activeElement) $("word").value = now.word;
  $("view").value = now.view;
  for (const radio of document.getElementsByName("mode")) radio.checked = radio.value === now.mode;
  paint();
  drawAbout();
  drawToken(now.token);
  $("link").href = address();
  if (moves) history.replaceState(null, "", address());
}
let drawn = -1;

const whole = (text, least, most) => {
  const number = Number.parseInt(text, 10);
  return Number.isNaN(number) ? null : Math.min(Math.max(number, least), most);
};

// What the address says, as far as it means anything.
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), to = {};
  const token = whole(given.get("token"), 1, data.tokens.length);
  const layer = whole(given.get("layer"), 0, data.states - 1);
  if (token !== null) to.token = token - 1;
  if (layer !== null) to.layer = layer;
  if (given.has("word")) to.word = given.get("word");
  if (["word", "tokens", "nothing"].includes(given.get("mode"))) to.mode = given.get("mode");
  return to;
}

function begin() {
  const first = data.words[0], best = first?.auc ? first.auc.indexOf(Math.max(...first.auc)) : data.states - 1;
  const middle = data.views[0] ? data.views[0].cells.find((token) => token >= 0) : 0;
  return {
    token: data.object[0] ?? middle, layer: best,
    word: first ? first.text : "", mode: first ? "word" : "tokens",
  };
}

// What moves it --------------------------------------------------------------------------------

function tokenAt(event) {
  const cell = event.target.closest?.(".cell[data-token]");
  return cell ? Number(cell.dataset.token) : null;
}

function choose(token) {
  change({ token });
  cells.get(token)?.focus();
}

// Along the row or the column, past tokens that were not read.
function target(tokens, cols, key) {
  const from = tokens.indexOf(now.token), upright = key === "ArrowUp" || key === "ArrowDown";
  const lineOf = (place) => (upright ? place % cols : Math.floor(place / cols));
  const line = tokens.filter((token, place) => token >= 0 && lineOf(place) === lineOf(from));
  const here = line.indexOf(now.token), last = line.length - 1;
  return line[{
    ArrowLeft: Math.max(here - 1, 0), ArrowRight: Math.min(here + 1, last),
    ArrowUp: Math.max(here - 1, 0), ArrowDown: Math.min(here + 1, last), Home: 0, End: last,
  }[key]];
}

function onKey(tokens, cols, event) {
  const turn = { PageUp: 1, PageDown: -1 }[event.key], to = target(tokens, cols, event.key);
  if (turn) change({ layer: Math.min(Math.max(now.layer + turn, 0), data.states - 1) });
  if (to !== undefined) choose(to);
  if (turn || to !== undefined) event.preventDefault();
}

function listen() {
  const grids = [
    [$("grid"), () => data.views[now.view].cells, () => data.views[now.view].cols],
    [$("list"), () => data.beside.map(([token]) => token), () => LISTED],
  ];
  for (const [grid, tokens, cols] of grids) {
    grid.addEventListener("pointerover", (event) => tokenAt(event) !== null && drawToken(tokenAt(event)));
    grid.addEventListener("pointerleave", () => drawToken(now.token));
    grid.addEventListener("click", (event) => tokenAt(event) !== null && choose(tokenAt(event)));
    grid.addEventListener("keydown", (event) => onKey(tokens(), cols(), event));
  }
  $("layer").addEventListener("input", () => change({ layer: Number($("layer").value) }));
  $("word").addEventListener("input", () => change({ word: $("word").value.trim(), mode: "word" }));
  $("view").addEventListener("change", () => change({ token: data.views[$("view").value].cells.find((token) => token >= 0) }));
  for (const radio of document.getElementsByName("mode")) {
    radio.addEventListener("change", () => change({ mode: radio.value }));
  }
  $("chart").addEventListener("click", (event) => {
    const { left, width } = $("chart").getBoundingClientRect();
    const layer = Math.round((((event.clientX - left) * 400) / width - 34) / 356 * (data.states - 1));
    change({ layer: Math.min(Math.max(layer, 0), data.states - 1) });
  });
  window.addEventListener("hashchange", () => change(fromAddress(), false));
}

async function main() {
  if (!("DecompressionStream" in window)) {
    $("token-told").textContent = "This browser is too old to unpack the page's numbers. Take one of 2023 or newer.";
    return;
  }
  await unpack();
  $("layer").max = data.states - 1;
  $("picture").src = data.picture || "data:,";
  $("known").append(...data.words.map((word) => element("option", { value: word.text })));
  $("views").hidden = data.views.length < 2;
  $("view").append(...data.views.map((view, which) =>
    element("option", { value: which }, `${which + 1} of ${data.views.length}: ${view.rows} by ${view.cols}`)));
  drawTable();
  listen();
  change({ view: 0, ...begin(), ...fromAddress() }, false);
  document.body.dataset.ready = "";
}

main();
