// The tab on which frames of a video are painted over.

import { $, $$, call, download, dropZone, make, say, settle, upload } from "./common.js";
import { Job, state } from "./job.js";

export function openPaint() {
  const boil = () => Number($("#paint_boil").value);
  const film = new Job($("#painted"), "painted", () =>
    call("painted", { boil: boil(), full_frame: Number($("input[name=paint_full_frame]:checked").value) }, { quiet: true }));

  function offered(told) {
    $("#paint_part").hidden = false;
    $("#paint_facts").textContent = `${told.name}: ${told.width} × ${told.height}, frames 0 to ${told.last}`;
    $("#paint_frames").replaceChildren(...told.frames.map((frame) => {
      const button = make("button", { type: "button", class: "small" }, "Download");
      button.addEventListener("click", () => download(frame.file, frame.file_name));
      const caption = `${frame.is_painted ? "✓ " : ""}${frame.caption}`;
      return make("figure", {}, make("img", { src: frame.picture, alt: caption }), make("figcaption", {}, caption), button);
    }));
    $("#paint_numbers").value = told.frames.map((frame) => frame.number).join(", ");
    $("#painting_of").replaceChildren(make("option", { value: "" }, "as it tells itself"),
      ...told.frames.map((frame) => make("option", { value: String(frame.number) }, `frame ${frame.number}`)));
  }

  let asked = 0;
  async function preview() {
    const number = ++asked;
    const { pictures } = await call("preview", { boil: boil() });
    if (number !== asked) return;
    $("#paint_result").hidden = !pictures.length;
    $("#paint_preview").replaceChildren(...pictures.map((one) => make("figure", {}, make("img", { src: one.picture, alt: one.caption }), make("figcaption", {}, one.caption))));
  }

  dropZone($("#paint_drop"), async ([file]) => {
    if (!film.mayEnd()) return;
    const told = await upload("clip", file);
    say("");
    film.tell(null);
    $("#paint_part").hidden = $("#paint_result").hidden = true;
    clip({ state: "waiting", place: 0 });
    $("#paint_facts").textContent = told.name;
  });
  const aside = ({ aside: numbers }) => { // paintings of frames that are taken no more
    if (!numbers?.length) return;
    const [one, it] = numbers.length === 1 ? ["The painting of frame", "its number"] : ["The paintings of frames", "their numbers"];
    say(`${one} ${numbers.join(", ").replace(/, (?=\d+$)/, " and ")} ${numbers.length === 1 ? "was" : "were"} put aside: name ${it} to have ${numbers.length === 1 ? "it" : "them"} back.`, "note");
  };
  dropZone($("#painting_drop"), async (files) => {
    for (const file of files) offered(await upload("painting", file, `&of=${$("#painting_of").value}`));
    say("");
    await preview();
  }, "Looking at what is painted …");
  $("#paint_choose").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const told = await call("frames", { numbers: $("#paint_numbers").value });
      offered(told);
      say("");
      aside(told);
      await preview();
    } catch { /* it was told */ }
  });
  $("#paint_boil").addEventListener("input", () => { $("#paint_boil_out").textContent = boil(); });
  $("#paint_boil").addEventListener("change", () => preview().catch(() => {}));

  let isLooking = false;
  function clip(told) { // how far the video is looked through
    isLooking = ["waiting", "running"].includes(told.state);
    state($("#paint_state"), told.state === "ready" ? null : told);
    if (told.state !== "failed") settle("clip");
    else if ($("#paint").checkVisibility()) say(told.error, "alert", "clip"); // else it is told where the video is
    if (told.state === "ready") offered(told);
  }
  return { film, clip, lose() { film.lose(); if (isLooking) clip({ state: "lost" }); } };
}
