// The webcam: live, one picture after the other, or a photo or video to be kept.

import { $, say, settle, visit } from "./common.js";

const SIDE = 480, QUALITY = 0.8, OVER = 20; // pixels of a picture's longer side that is sent, of its JPEG; frames a rate is of

// `wished()` gives the wish for the cartoons, `take(file)` is called with a photo or video.
export function openCamera(wished, take) {
  const [on, photo, record] = ["#camera_on", "#camera_photo", "#camera_record"].map((one) => $(one));
  const view = $("#camera_view"), live = $("#live"), picture = $("img", live);
  const canvas = document.createElement("canvas");
  let stream = null, recorder = null, begun = 0;

  const draw = (side) => {
    const scale = Math.min(1, side / Math.max(view.videoWidth, view.videoHeight));
    [canvas.width, canvas.height] = [Math.round(view.videoWidth * scale), Math.round(view.videoHeight * scale)];
    canvas.getContext("2d").drawImage(view, 0, 0, canvas.width, canvas.height);
  };
  const jpeg = (quality) => new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", quality); });

  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
    } catch (error) {
      const reason = !navigator.mediaDevices ? "browsers let only pages with https have it" : error.name === "NotAllowedError" ? "this browser was told not to allow it" : "there is none, or another program has it";
      say(`The webcam can't be used: ${reason}.`, "alert", "camera");
      return;
    }
    view.srcObject = stream;
    await view.play();
    on.textContent = "Turn the webcam off";
    [photo.disabled, record.disabled, live.hidden, begun] = [false, false, false, performance.now()];
    loop(stream);
  }

  async function loop(of) {
    const times = [];
    while (stream === of) {
      draw(SIDE);
      const query = `wish=${encodeURIComponent(JSON.stringify(wished()))}&t=${(performance.now() - begun) / 1000}`;
      try {
        const answer = await fetch(`visits/${visit.name}/live?${query}`, { method: "POST", body: await jpeg(QUALITY) });
        if (!answer.ok) throw new Error((await answer.json()).error);
        const address = URL.createObjectURL(await answer.blob()), before = picture.src;
        picture.src = address;
        await picture.decode();
        if (before) URL.revokeObjectURL(before);
        settle("camera");
      } catch (error) {
        if (stream !== of) return;
        say(error.message || "The server does not answer.", "alert", "camera");
        await new Promise((resolve) => { setTimeout(resolve, 2000); });
        continue;
      }
      times.push(performance.now());
      if (times.length > OVER) times.shift();
      const rate = (times.length - 1) / (times.at(-1) - times[0]) * 1000;
      $("figcaption", live).textContent = times.length > 1 ? `${rate.toFixed(1)} frames a second` : "";
    }
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    on.textContent = "Turn the webcam on";
    [photo.disabled, record.disabled, live.hidden] = [true, true, true];
  }

  on.addEventListener("click", () => (stream ? stop() : start()));
  photo.addEventListener("click", async () => {
    draw(Infinity);
    const file = new File([await jpeg(0.95)], "webcam.jpg");
    stop();
    take(file).catch(() => {});
  });
  record.addEventListener("click", async () => {
    if (recorder) { recorder.stop(); return; }
    const own = stream.clone();
    try { // sound, where it may be had
      (await navigator.mediaDevices.getUserMedia({ audio: true })).getTracks().forEach((track) => own.addTrack(track));
    } catch { /* a silent film */ }
    const parts = [];
    recorder = new MediaRecorder(own);
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", () => {
      own.getTracks().forEach((track) => track.stop());
      const file = new File(parts, recorder.mimeType.includes("mp4") ? "webcam.mp4" : "webcam.webm");
      recorder = null;
      record.textContent = "Record a video";
      stop();
      take(file).catch(() => {});
    });
    recorder.start();
    record.textContent = "Stop, and use it";
  });
  return { leave(tab) { if (tab !== "camera" && stream && !recorder) stop(); } };
}
