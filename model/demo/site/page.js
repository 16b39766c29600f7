// The page: what the visitor wishes is one object; each change is a wish with the next number, and what is shown is the
// result of the newest one. News of the server come over one connection.

import { openCamera } from "./camera.js";
import { $, $$, call, CONNECTION, download, dropZone, inLine, make, say, seconds, settle, upload, visit } from "./common.js";
import { busy, show, wait } from "./compare.js";
import { showCrop, showFaces } from "./faces.js";
import { Job } from "./job.js";
import { openOwnPicture } from "./own.js";
import { openPaint } from "./paint.js";

const REST = 350; // milliseconds that a slider rests before the picture is rendered in full
const MOST_RESULTS = 12;
const PICTURE = "picture"; // what messages are about
const FRESH = { exemplar: null, degree: null, padding: null }; // as the style has it

let wish = { number: 0, style: "", face: 0, full_frame: 0, ...FRESH };
let styles = new Map(), limits = {}, content = null, shown = { number: 0 }, latest = 0, controls = null, good = "";
let results = [], rest = 0, posting = false, again = false, tiles = null, tiling = 0;

// Wishes

const isReady = () => content?.faces.length > 0 && (wish.style !== "own" || own.isPlaced);
const isBusy = () => isReady() && (shown.number !== wish.number || shown.is_draft);

function mark() { // what depends on whether picture and controls agree
  if (!isBusy()) busy(false);
  const isThere = Boolean(shown.jpeg) && !isBusy();
  for (const name of ["jpeg", "png", "copy"]) $(`#${name}`).disabled = !isThere;
}

const values = () => {
  const { quick, preset, ...rest } = wish;
  const uses = new Set(controls?.uses || []);
  const own = {};
  for (const part of $$("[data-uses]")) {
    if (!part.dataset.uses.split(" ").every((use) => uses.has(use))) continue;
    for (const input of $$("input", part)) {
      if (input.type === "radio") { if (input.checked) own[input.name] = input.value; }
      else own[input.id] = input.type === "checkbox" ? input.checked : Number(input.value);
    }
  }
  delete own.boil; // of videos alone
  const people = $("#people").value.trim() || ($("#everybody").checked ? "all" : "");
  return { ...rest, ...own, people };
};

// Something else is wished for; `quick`: a slider is being dragged.
function ask(quick = false) {
  if (!isReady()) { if (content?.faces.length) idle(); return; }
  clearTimeout(rest);
  if (quick) rest = setTimeout(ask, REST);
  wish = { ...wish, number: wish.number + 1, quick };
  busy(true);
  mark();
  post();
}

async function post() { // the newest wish; those that come while it is on its way follow as one
  if (posting) { again = true; return; }
  posting = true;
  const sent = { ...values(), quick: wish.quick };
  try {
    await call("wish", sent, { quiet: true });
  } catch (error) {
    if (sent.number === wish.number) failed(error.message, false);
  }
  posting = false;
  if (again) { again = false; post(); }
}

// There can be no result yet, and what is on its way is of something else.
function idle() {
  const words = content.faces.length ? "Mark the face in your own picture, and the result follows" : "Mark the face, and the picture follows";
  clearTimeout(rest);
  [shown, latest] = [{ number: 0 }, wish.number + 1];
  $("#caption").textContent = "\u00a0";
  wait(content.frame, words);
  showCrop(null);
  mark();
}

function failed(sentence, isStyle) {
  const isNone = !shown.after; // of this content
  shown = { ...shown, number: wish.number, is_draft: false, jpeg: null };
  if (isStyle) { // the one before stays
    const box = $("#fetch_message");
    $("p", box).textContent = sentence;
    box.hidden = false;
    if (good && good !== wish.style) { choose(good); return; }
  } else say(sentence, "alert", PICTURE);
  if (isNone) wait(content.frame, sentence);
  mark();
}

async function result(news) {
  if (news.number < latest || news.number > wish.number) return;
  latest = news.number;
  if (news.error) { if (news.number === wish.number) failed(news.error, news.is_style); return; }
  const isLate = () => news.is_draft && shown.number === news.number && !shown.is_draft; // a draft that loaded longer
  const isWanted = () => news.number >= latest && news.number >= shown.number && !isLate();
  try {
    if (!(await show(news, isWanted))) return;
  } catch { return; } // it is gone: there is a newer one
  shown = news;
  if (news.number !== wish.number) return;
  good = wish.style;
  settle(PICTURE);
  adapt(news.controls);
  showCrop(wish.full_frame || wish.people ? null : news.crop);
  const figure = $("#compare"), { style } = news;
  Object.assign(figure.dataset, { style, number: news.number, draft: news.is_draft, degree: $("#degree").value });
  const degree = controls.degree == null ? "" : ` · degree ${Number($("#degree").value)}`;
  $("#caption").textContent = `${controls.title}${degree} · ${news.width} × ${news.height} pixels`;
  if (!news.is_draft) remember(news);
  mark();
}

// What can be set for the style that is shown.
function adapt(told) {
  controls = told;
  const uses = new Set(told.uses);
  for (const part of $$("[data-uses]")) part.hidden = !part.dataset.uses.split(" ").every((use) => uses.has(use));
  if (told.has_colours) $("#color_transfer").parentElement.hidden = true;
  $("#degree_field").hidden = told.degree == null;
  if (wish.degree == null && told.degree != null) $("#degree").value = told.degree;
  const padding = wish.padding || told.padding;
  $$("#paddings input").forEach((input, n) => { if (document.activeElement !== input) input.value = padding[n]; });
  const choice = $("#exemplar");
  $("#exemplar_field").hidden = !told.exemplars.length;
  if (told.exemplars.length && choice.dataset.style !== wish.style) {
    choice.dataset.style = wish.style;
    choice.replaceChildren(...told.exemplars.map(([name, value]) => make("option", { value }, name)));
    choice.value = wish.exemplar || told.exemplar;
  }
  $("#about").textContent = `${told.title} · licence: ${told.licence}`;
  outputs();
}

function outputs() {
  for (const input of $$("input[type=range]")) {
    const out = input.parentElement.querySelector("output");
    if (out && !["start", "end"].includes(input.id)) out.textContent = Number(input.value);
  }
  for (const name of ["start", "end"]) $(`#${name}_out`).textContent = seconds(Number($(`#${name}`).value));
}

// Styles

function choose(style, exemplar = null) {
  const before = styles.get(wish.style), now = styles.get(style);
  const isOther = !before || !now || before.model !== now.model; // styles of one model are compared as they are
  wish = { ...wish, style, exemplar, ...(isOther ? { degree: null, padding: wish.preset ? wish.padding : null } : {}) };
  for (const tile of $$("[data-key]")) {
    const isIt = tile.dataset.key === style;
    tile.setAttribute("aria-checked", String(isIt));
    tile.tabIndex = isIt || (style === "own" && tile === $("[data-key]")) ? 0 : -1;
  }
  ask();
}

function showStyles() {
  const tile = (style) => make("button", { type: "button", role: "radio", class: "tile", "data-key": style.key, "aria-checked": "false", "aria-label": style.title, title: style.licence },
    make("img", { src: style.picture, alt: "" }), make("span", {}, style.title));
  const name = (style) => make("button", { type: "button", role: "radio", "data-key": style.key, "aria-checked": "false", title: style.licence }, style.title);
  const all = [...styles.values()];
  $("#here").replaceChildren(...all.filter((style) => style.is_here).map(tile));
  $("#elsewhere").replaceChildren(...all.filter((style) => !style.is_here).map(name));
  $("#more_styles").hidden = all.every((style) => style.is_here);
  for (const button of $$("[data-key]")) button.addEventListener("click", () => { $("#fetch_message").hidden = true; choose(button.dataset.key); });
  const next = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const group of ["#here", "#elsewhere"]) $(group).addEventListener("keydown", (event) => {
    const buttons = $$("[data-key]", event.currentTarget), at = buttons.indexOf(document.activeElement);
    if (!next[event.key] || at < 0) return;
    event.preventDefault();
    buttons[(at + next[event.key] + buttons.length) % buttons.length].focus();
  });
  $$("#elsewhere [data-key]").forEach((one) => { one.tabIndex = 0; });
}
$("button", $("#fetch_message")).addEventListener("click", () => { $("#fetch_message").hidden = true; });
$("#exemplar").addEventListener("change", (event) => choose(wish.style, event.target.value));

function showTiles() { // the visitor's face in all styles, in the background
  clearTimeout(tiling);
  if (!content?.faces.length) { // nobody's
    tiles = null;
    $$("#here .tile").forEach((tile) => { tile.classList.add("pending"); $("img", tile).src = styles.get(tile.dataset.key).picture; });
    return;
  }
  if (isBusy()) { tiling = setTimeout(showTiles, 700); return; } // the picture itself comes first
  tiles = wish.face;
  if (content.is_in_gallery) { // of which there are pictures
    $$("#here .tile").forEach((tile) => { tile.classList.remove("pending"); $("img", tile).src = styles.get(tile.dataset.key).picture; });
    return;
  }
  $$("#here .tile").forEach((tile) => tile.classList.add("pending"));
  call("tiles", { face: wish.face, style: wish.style }, { quiet: true }).catch(() => {});
}

// Contents

async function take(asked) {
  if (!film.mayEnd()) return;
  const taken = await asked();
  say("");
  accept(taken);
}

function accept(taken, face = 0) {
  [content, shown, latest] = [taken, { number: 0 }, wish.number + 1]; // what is on its way is of another one
  wish = { ...wish, face, padding: null, preset: null };
  film.tell(null);
  $("#film_part").hidden = !content.is_video;
  if (content.is_video) trim();
  $("#caption").textContent = "\u00a0";
  showFaces(content, face, (number) => { wish = { ...wish, face: number }; ask(); showTiles(); }, (marked) => accept(marked, marked.face));
  mark();
  if (content.faces.length) ask(); else idle();
  showTiles();
}

const dropped = dropZone($("#drop"), ([file]) => take(() => upload("content", file)));
addEventListener("paste", (event) => { if (event.clipboardData.files.length && !$("#studio").hidden) dropped([...event.clipboardData.files]); });
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault()); // beside the zone

// Controls

const dragged = (input, change) => {
  input.addEventListener("input", () => { change(); outputs(); ask(true); });
  input.addEventListener("change", () => { if (wish.quick) ask(); });
};
dragged($("#degree"), () => { wish = { ...wish, degree: Number($("#degree").value) }; });
$$("#paddings input").forEach((input) => dragged(input, () => {
  wish = { ...wish, padding: $$("#paddings input").map((one) => Number(one.value)), preset: null };
}));
for (const button of $$("#presets button")) button.addEventListener("click", () => {
  const padding = button.dataset.padding ? button.dataset.padding.split(" ").map(Number) : null;
  wish = { ...wish, padding, preset: padding && button.textContent };
  ask();
});
for (const input of $$("input[name=full_frame]")) input.addEventListener("change", () => { wish = { ...wish, full_frame: Number(input.value) }; ask(); });
dragged($("#style_size"), () => {});
for (const input of $$("#more fieldset input, #keep_colors, #color_transfer, #everybody, #people")) input.addEventListener("change", () => ask());

$("#jpeg").addEventListener("click", () => download(shown.jpeg));
$("#png").addEventListener("click", () => download(shown.png));
$("#copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": fetch(shown.png).then((answer) => answer.blob()) })]);
    say("The picture is copied.");
  } catch { say("This browser does not let pages copy pictures: download it instead.", "alert"); }
});
$("#copy").hidden = !navigator.clipboard?.write;

// The visit's results

function remember(news) {
  const { number, quick, ...rest } = wish;
  const key = JSON.stringify([content.frame, rest, values(), news.picture?.split("/")[0]]).replace(/"number":\d+,?/, "");
  results = [{ key, wish: rest, content, news }, ...results.filter((one) => one.key !== key)].slice(0, MOST_RESULTS);
  $("#history_part").hidden = results.length < 2;
  $("#history").replaceChildren(...results.map((one) => {
    const button = make("button", { type: "button", title: one.news.controls.title, "aria-label": `${one.news.controls.title}, ${one.content.name}` }, make("img", { src: one.news.after, alt: "", loading: "lazy" }));
    button.addEventListener("click", () => recall(one));
    return button;
  }));
}

function recall(one) {
  if (one.content === content && (one.wish.style !== "own" || own.isOf(one.news))) { // else it could not be painted again
    wish = { ...one.wish, number: wish.number };
    if (wish.degree != null) $("#degree").value = wish.degree;
    $(`input[name=full_frame][value="${wish.full_frame}"]`).checked = true;
    choose(wish.style, wish.exemplar);
    Object.assign(wish, { degree: one.wish.degree, padding: one.wish.padding });
    return;
  }
  $("#old img").src = one.news.after;
  $("#old_file").onclick = () => download(one.news.jpeg);
  $("#old").showModal();
}
$("#old_close").addEventListener("click", () => $("#old").close());

// Videos

const film = new Job($("#film"), "film", () => {
  const curve = $("#curve").value.trim(), end = Number($("#end").value);
  const crop = $("input[name=crop]:checked").value, uses = new Set(controls?.uses);
  const asked = { ...values(), number: 0, crop, compare: $("#compare_film").checked, start: Number($("#start").value) };
  if (content.seconds && end < content.seconds - 0.05) asked.end = end;
  if (curve) asked.degree = curve;
  if (uses.has("boil")) asked.boil = Number($("#boil").value);
  return call("film", asked, { quiet: true });
});

function trim() {
  const length = content.seconds || 0, input = $("#film_input");
  for (const name of ["start", "end"]) Object.assign($(`#${name}`), { max: length, disabled: !length });
  $("#start").value = 0;
  $("#end").value = Math.min(length, limits.seconds);
  input.hidden = !content.file;
  if (content.file) input.src = content.file; else input.removeAttribute("src");
  $("#end").dispatchEvent(new Event("input"));
}
$("#film_input").addEventListener("error", (event) => { event.target.hidden = true; }); // the browser can't play it
for (const name of ["start", "end"]) $(`#${name}`).addEventListener("input", (event) => {
  const [start, end] = [$("#start"), $("#end")];
  if (Number(end.value) <= Number(start.value)) {
    if (event.target === start) start.value = Math.max(0, Number(end.value) - 0.1);
    else end.value = Number(start.value) + 0.1;
  }
  const length = end.value - start.value, isLong = length > limits.seconds + 0.5;
  $("#part_facts").textContent = `${seconds(length)} will be rendered${isLong ? `: this page takes up to ${limits.seconds} s, choose a shorter part` : `, of at most ${limits.seconds} s`}.`;
  $(".run", $("#film")).disabled = isLong || film.isRunning;
  if (event.isTrusted && !$("#film_input").hidden) $("#film_input").currentTime = Number(event.target.value);
  outputs();
});
$("#boil").addEventListener("input", outputs);

// Tabs

const TABS = ["styles", "own", "paint", "camera"];
function open(name) {
  if ($(`#tab_${name}`).getAttribute("aria-selected") === "false") say(""); // it was of another tab
  for (const tab of TABS) {
    $(`#tab_${tab}`).setAttribute("aria-selected", String(tab === name));
    $(`#tab_${tab}`).tabIndex = tab === name ? 0 : -1;
  }
  $("#studio").hidden = name === "paint";
  $("#paint").hidden = name !== "paint";
  if (name !== "paint") $("#studio").dataset.tab = name;
  camera.leave(name);
}
TABS.forEach((name, at) => {
  $(`#tab_${name}`).addEventListener("click", () => open(name));
  $(`#tab_${name}`).addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: 3 }[event.key];
    if (!by) return;
    const next = TABS[(at + by) % 4];
    open(next);
    $(`#tab_${next}`).focus();
  });
});

const own = openOwnPicture(choose, () => { if (wish.style === "own") ask(); });
const painted = openPaint();
const camera = openCamera(() => ({ ...values(), number: 0, quick: false, people: "", face: 0 }), async (file) => {
  open("styles");
  await take(() => upload("content", file));
});

// The connection

const RETRY = 1000; // milliseconds before the page connects again
const ANEW = "anew", ALONE = "alone"; // why a page was loaded again, in its address
const BEGUN = {
  [ANEW]: "The server began anew: bring your picture again.",
  [ALONE]: "This page was left alone for too long: bring your picture again.",
};
let known = null; // the server's first words

const begin = (why) => { // as a new page
  history.replaceState(null, "", `#${why}`);
  location.reload();
};
const begun = location.hash.slice(1);
if (Object.hasOwn(BEGUN, begun)) {
  history.replaceState(null, "", location.pathname + location.search);
  say(BEGUN[begun], "alert");
}

function welcome(told) {
  const wasLost = visit.isLost;
  visit.isLost = false;
  settle(CONNECTION);
  if (known && told.visit === visit.name) {
    if (!content) first();
    else if (wasLost && !shown.jpeg) ask(); // what was wished for meanwhile
    return;
  }
  if (known) { // another visit: what is here is of the one before, and so may be the page itself
    visit.name = told.visit;
    begin(told.server === known.server ? ALONE : ANEW);
    return;
  }
  [visit.name, limits, known] = [told.visit, told.limits, told];
  $("#browser").hidden = !told.browser;
  styles = new Map(told.styles.map((style) => [style.key, style]));
  showStyles();
  for (const words of $$(".limits")) words.textContent = `Photos up to ${limits.megapixels} megapixels, videos of any length, of which up to ${limits.seconds} s are rendered`;
  $("#paint .limits").textContent = `Up to ${limits.seconds} s`;
  $("#examples").replaceChildren(...told.examples.map((one) => {
    const isClip = one.title === "A clip", button = make("button", { type: "button", class: isClip ? "moves" : "", "aria-label": `Example: ${one.title}`, title: one.title }, make("img", { src: one.picture, alt: "" }));
    button.addEventListener("click", () => take(() => call("example", { name: one.name })).catch(() => {}));
    return button;
  }));
  choose(told.styles[0].key);
  first();
}

async function first() {
  try { accept(await call("example", { name: known.examples[0].name })); } catch { /* it was told */ }
}

function hear(told) {
  const { kind } = told;
  if (kind === "result") result(told);
  else if (kind === "waiting") {
    if (told.number <= wish.number && isBusy()) busy(true, told.fetched ? `${(told.fetched / 1e6).toFixed(0)} MB fetched …` : inLine(told.place));
  } else if (kind === "film") film.tell(told);
  else if (kind === "painted") painted.film.tell(told);
  else if (kind === "clip") painted.clip(told);
  else if (kind.startsWith("thumbnail-") && told.face === tiles) {
    const tile = $$("#here .tile").find((one) => one.dataset.key === told.key);
    if (tile) { $("img", tile).src = told.picture; tile.classList.remove("pending"); }
  }
}

async function lost(news) {
  visit.isLost = true;
  film.lose();
  painted.lose();
  say("The connection to the server is lost; trying again …", "alert", CONNECTION);
  if (news.readyState !== EventSource.CLOSED) return; // the browser tries again
  const answer = await fetch("news", { method: "HEAD" }).catch(() => null);
  if (answer?.status === 401) say("The server asks for your password again: reload the page.", "alert", CONNECTION);
  else if (answer?.status === 400) say("This page needs a cookie, to keep visitors apart: allow it, and reload the page.", "alert", CONNECTION);
  else setTimeout(connect, RETRY);
}

function connect() {
  const news = new EventSource(visit.name ? `news?visit=${visit.name}` : "news");
  news.addEventListener("welcome", (event) => welcome(JSON.parse(event.data)));
  news.addEventListener("news", (event) => hear(JSON.parse(event.data)));
  news.addEventListener("error", () => lost(news));
}
connect();

const isAtWork = () => film.isRunning || painted.film.isRunning;
addEventListener("beforeunload", (event) => { if (isAtWork()) event.preventDefault(); });
addEventListener("pagehide", () => { if (visit.name) navigator.sendBeacon(`visits/${visit.name}/leave`); });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
