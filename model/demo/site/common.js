// What the parts of the page share: the visit, calls of the server, messages, uploads.

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
export const visit = { name: null, isLost: false };
export const CONNECTION = "connection"; // what some messages are about

export function make(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const message = $("#message");
let fading = 0, told = "";

// A sentence above the page, so that nothing moves. An alert or a note stays until it is closed, until what it is `about`
// succeeds (`settle`), or until another tab is opened. While the connection is lost, nothing else is said.
export function say(sentence, kind = "status", about = "") {
  if (visit.isLost && about !== CONNECTION) return;
  clearTimeout(fading);
  told = about;
  message.hidden = !sentence;
  message.className = kind;
  message.setAttribute("role", kind === "alert" ? "alert" : "status");
  $("p", message).textContent = sentence || "";
  if (sentence && kind === "status") fading = setTimeout(() => say(""), 6000);
}
$("button", message).addEventListener("click", () => say("", "status", CONNECTION));

// What messages are about succeeded: they go.
export function settle(...about) {
  if (about.includes(told)) say("", "status", told);
}

// Calls an action of the visit; `body` is JSON or a File. Returns what it answers; a refusal is told, and thrown. What was
// told of one goes when the next is none.
export async function call(action, body = {}, { quiet = false, query = "" } = {}) {
  let answer;
  const isFile = body instanceof Blob;
  try {
    const response = await fetch(`visits/${visit.name}/${action}${query}`, {
      method: "POST", body: isFile ? body : JSON.stringify(body),
      headers: { "Content-Type": isFile ? "application/octet-stream" : "application/json" },
    });
    if (response.status === 401) location.reload();
    answer = await response.json();
  } catch {
    answer = { error: "The server does not answer: check the network, and try again." };
  }
  if (answer.error) {
    if (!quiet) say(answer.error, "alert", action);
    throw new Error(answer.error);
  }
  settle(action);
  return answer;
}

export const upload = (action, file, more = "") => call(action, file, { query: `?name=${encodeURIComponent(file.name || "picture.png")}${more}` });

export function download(address, name = "") {
  const link = make("a", { href: `${address}${address.includes("?") ? "&" : "?"}download`, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// A drop zone: `take` is given the files that were chosen or dropped; meanwhile it tells what is `done` with them.
export function dropZone(zone, take, done = "Looking for a face …") {
  const input = $("input", zone), words = zone.appendChild(make("small", { class: "doing", role: "status" }));
  const taken = async (files) => {
    if (!files.length) return;
    zone.classList.add("busy");
    words.textContent = done;
    try { await take(files); } catch { /* it was told */ } finally { zone.classList.remove("busy"); words.textContent = ""; }
  };
  input.addEventListener("change", () => { const files = [...input.files]; input.value = ""; taken(files); });
  for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); taken([...event.dataTransfer.files]); });
  return taken;
}

export const seconds = (number) => `${number.toFixed(1)} s`;
export const lasting = (left) => left == null ? "" : left < 90 ? `, about ${Math.max(1, Math.round(left))} s left` : `, about ${Math.round(left / 60)} min left`;
export const inLine = (place) => place > 0 ? `${place === 1 ? "One is" : `${place} are`} before you …` : "";
