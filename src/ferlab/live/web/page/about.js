// The dialogs that say what answers here, and that ask who a face is.

import { by, make } from "ferlab/dom.js";

/** Fill the model's dialog, and show its chip. */
export function model(hello) {
  const { model: it, detector } = hello;
  const facts = [
    ["Model", it.name], ["Summary", it.summary], ["Input", `${it.size} × ${it.size} pixels`], ["File", `${(it.bytes / 1e6).toFixed(1)} MB`],
    ["SHA-256", it.digest ?? "–"], ["Detector", parts(detector)], ["Labels", hello.labels.join(", ") || "none: valence and arousal alone"], ["ferlab", hello.version],
  ];
  by("model-facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", String(value))]));
  by("model-card").textContent = it.card || "This model has no card.";
  by("model-text").textContent = `${it.name} · ${parts(detector)}`;
  by("model").title = "What this model is, and its card";
  by("model").hidden = false;
  by("model").addEventListener("click", () => by("model-dialog").showModal());
}

/** Ask for the name of a face. on: {selected() the track or null, send(message), say(text, kind)}. */
export function enrolment(on) {
  const dialog = by("name-dialog");
  by("name-close").addEventListener("click", () => dialog.close());
  by("name-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = by("name-text").value.trim();
    dialog.close();
    try {
      const reply = await on.send({ type: "enroll", track: Number(dialog.dataset.track), name });
      on.say(`Enrolled ${reply.name}: ${reply.faces} ${reply.faces === 1 ? "face" : "faces"} in the gallery.`);
    } catch (error) {
      on.say(error.message, "error");
    }
  });
  by("enroll").hidden = false;
  by("enroll").addEventListener("click", () => {
    const track = on.selected();
    if (track === null) return on.say("There is no face to name.");
    dialog.dataset.track = track;
    by("name-title").textContent = `Who is face #${track}?`;
    by("name-text").value = "";
    dialog.showModal();
  });
}

function parts(detector) {
  return detector.side ? `${detector.name} ${detector.side} px` : detector.name;
}
