import { ask } from "./asking.js";
import { drawLegend, drawMap } from "./picture.js";

const SHOWN = 5; // landmarks before "Show more"
const NEIGHBOURS = 6;

const $ = (id) => document.getElementById(id);
const percent = (part) => `${(100 * part).toFixed(1)} %`;
const shown = (name) => name.replaceAll("_", " ");

let model = null;
let current = null; // the photo: {blob, url, answers: landmark or "" -> answer, isLong, selected}
let abort = new AbortController();

// --- the model

async function loadModel() {
  try {
    model = await (await fetch("model")).json();
  } catch {
    showError("The server does not answer", "Is it still running? Start it and load this page again.");
    return;
  }
  const count = model.landmarks.length.toLocaleString("en");
  $("model").textContent = `${model.name} knows ${count} landmarks`;
  drawLegend($("legend"), model.colours);
  showExamples();
  $("note").textContent = model.photos_note;
  $("note").hidden = !model.photos_note;
  if (model.is_loading_photos) setTimeout(loadModel, 1000);
  else if (current && !current.answers.get(current.selected)?.neighbours.length) refresh();
}

// --- a new photo

async function look(blob) {
  abort.abort();
  abort = new AbortController();
  if (current) URL.revokeObjectURL(current.url);
  current = { blob, url: URL.createObjectURL(blob), answers: new Map(), isLong: false, selected: "" };
  $("error").hidden = $("result").hidden = true;
  if (model && blob.size > model.max_bytes) {
    const megabytes = (blob.size / 1e6).toFixed(1);
    const detail = `It has ${megabytes} MB, and this server takes ${model.max_bytes / 1e6} MB.`;
    showError("This photo is too large", detail);
    return;
  }
  document.body.classList.add("has-photo");
  $("figure").hidden = false;
  $("window").hidden = true;
  $("caption").textContent = "";
  $("photo").src = current.url;
  await select("");
}

// Shows the answer with the map of a landmark, or of the answer where it is "".
async function select(landmark) {
  const mine = current;
  mine.selected = landmark;
  const { signal } = abort;
  if (!mine.answers.has(landmark)) {
    $("progress").hidden = false;
    $("status").textContent = "The photo is being looked at.";
    try {
      const query = new URLSearchParams({ top: 100, neighbours: NEIGHBOURS });
      if (landmark) query.set("landmark", landmark);
      const response = await ask(`predict?${query}`, mine.blob, signal);
      mine.answers.set(landmark, await response.json());
    } catch (error) {
      if (error.name === "AbortError" || mine !== current) return;
      $("progress").hidden = true;
      showError("This photo could not be read", error.message);
      return;
    }
  }
  if (mine !== current || mine.selected !== landmark) return;
  $("progress").hidden = true;
  showAnswer(mine.answers.get(landmark));
}

function refresh() {
  current.answers.delete(current.selected);
  return select(current.selected);
}

// --- showing the answer

function showAnswer(answer) {
  $("answer").hidden = $("result").hidden = false;
  $("error").hidden = true;
  showVerdict(answer);
  showLandmarks(answer);
  showMap(answer);
  showNeighbours(answer);
}

function showVerdict({ landmarks, is_landmark, p_value }) {
  const [best] = landmarks;
  const isNone = is_landmark === false;
  $("verdict").textContent = isNone ? "None of these places" : shown(best.landmark);
  $("verdict").classList.toggle("none", isNone);
  const detail = isNone
    ? `Closest: ${shown(best.landmark)}, ${percent(best.score)}. Photos of known places hardly ever get so unsure an answer (p-value ${p_value.toFixed(3)}).`
    : `Score ${percent(best.score)}.`;
  $("verdict-detail").textContent = detail;
  $("status").textContent = `${$("verdict").textContent}. ${detail}`;
}

function showLandmarks({ landmarks }) {
  const rows = current.isLong ? landmarks : landmarks.slice(0, SHOWN);
  $("landmarks").replaceChildren(...rows.map(landmarkRow));
  const rest = landmarks.length - rows.length;
  $("more").hidden = !rest && !current.isLong;
  $("more").textContent = current.isLong ? "Show fewer" : `Show ${rest} more`;
}

function landmarkRow({ landmark, score }) {
  const row = document.createElement("li");
  const button = document.createElement(model.has_landmark_maps ? "button" : "div");
  const [name, number, track, bar] = ["name", "number", "track", "bar"].map((kind) => {
    const part = document.createElement("span");
    part.className = kind;
    return part;
  });
  name.textContent = shown(landmark);
  number.textContent = percent(score);
  bar.style.width = `${100 * score}%`;
  track.append(bar);
  button.className = "row";
  button.append(name, number, track);
  if (model.has_landmark_maps) {
    button.type = "button";
    button.setAttribute("aria-pressed", String(landmark === current.selected));
    button.addEventListener("click", async () => {
      await select(current.selected === landmark ? "" : landmark);
      [...$("landmarks").querySelectorAll(".name")]
        .find((one) => one.textContent === shown(landmark))
        ?.parentElement.focus();
    });
  }
  row.append(button);
  return row;
}

const CAPTIONS = {
  attention: "Where the model looked: its attention map.",
  "grad-cam": "What speaks for the answer: Grad-CAM.",
};

async function showMap({ map, photo }) {
  const [top, left, bottom, right] = map.window;
  const ends = { top, left, width: right - left, height: bottom - top };
  for (const [side, part] of Object.entries(ends)) $("window").style[side] = `${100 * part}%`;
  drawMap($("map"), map.values, model.colours);
  $("map").setAttribute("aria-label", `Map over the photo. ${describe(map)}`);
  const isPart = bottom - top < 1 || right - left < 1;
  $("caption").textContent = describe(map) + (isPart ? " The model sees what is in the frame." : "");
  $("window").classList.toggle("part", isPart);
  $("show-answer").hidden = !map.landmark;
  $("window").hidden = false;
  await fitPhoto(photo);
}

function describe(map) {
  return map.landmark ? `What speaks for ${shown(map.landmark)}.` : CAPTIONS[map.kind];
}

// Browsers know fewer formats, and turn fewer photos upright, than the model's decoder does.
async function fitPhoto({ width, height }) {
  const mine = current;
  const image = $("photo");
  const isReadable = await image.decode().then(() => true, () => false);
  const aspect = isReadable ? image.naturalWidth / image.naturalHeight : 0;
  if (mine !== current || mine.isPreview || Math.abs(aspect / (width / height) - 1) < 0.03) return;
  mine.isPreview = true;
  const response = await ask("preview", mine.blob, abort.signal).catch(() => null);
  if (!response || mine !== current) return;
  URL.revokeObjectURL(mine.url);
  mine.url = URL.createObjectURL(await response.blob());
  image.src = mine.url;
}

function showNeighbours({ neighbours, landmarks, map }) {
  $("known").hidden = !neighbours.length;
  $("known-title").textContent = `Known photos of ${shown(map.landmark ?? landmarks[0].landmark)}`;
  const items = neighbours.map(({ landmark, photo, similarity }) => {
    const image = photoOf(photo, `Known photo of ${shown(landmark)}, similarity ${similarity.toFixed(2)}`);
    const caption = document.createElement("span");
    caption.textContent = similarity.toFixed(2);
    return item(image, caption);
  });
  $("neighbours").replaceChildren(...items);
}

function showExamples() {
  const items = model.examples.map(({ landmark, photo }) => {
    const button = document.createElement("button");
    button.type = "button";
    const caption = document.createElement("span");
    caption.textContent = shown(landmark);
    button.append(photoOf(photo, ""), caption);
    button.addEventListener("click", async () => {
      const response = await fetch(photo).catch(() => null);
      if (response?.ok) look(await response.blob());
      else showError("This example is gone", "The records were changed or moved.");
      scrollTo({ top: 0 });
    });
    return item(button);
  });
  $("example-photos").replaceChildren(...items);
  $("examples").hidden = !items.length;
}

function photoOf(address, text) {
  const image = document.createElement("img");
  image.src = address;
  image.alt = text;
  image.loading = "lazy";
  return image;
}

function item(...parts) {
  const element = document.createElement("li");
  element.append(...parts);
  return element;
}

function showError(title, detail) {
  $("figure").hidden = $("result").hidden = true;
  document.body.classList.remove("has-photo");
  $("answer").hidden = $("error").hidden = false;
  $("error-title").textContent = title;
  $("error-detail").textContent = detail;
  $("status").textContent = "";
}

// --- what the user does

function take(files, what) {
  const photo = [...(files ?? [])].find((file) => file.size || file.type);
  if (photo) look(photo);
  else if (what) showError("No photo came along", `${what} holds no file. Save the photo, then drop the file.`);
}

for (const input of document.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    take(input.files, "");
    input.value = ""; // the same file can be chosen again
  });
}

let depth = 0; // of elements that the dragged photo has entered
const drag = (change) => (event) => {
  event.preventDefault();
  depth = change === 0 ? 0 : depth + change;
  $("overlay").hidden = depth <= 0;
};
addEventListener("dragenter", drag(1));
addEventListener("dragleave", drag(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  drag(0)(event);
  take(event.dataTransfer.files, "What was dropped");
});
$("photo").addEventListener("load", ({ target }) => {
  $("frame").style.setProperty("--aspect", target.naturalWidth / target.naturalHeight);
});
addEventListener("paste", (event) => take(event.clipboardData.files, ""));

function setOpacity() {
  const part = Number($("opacity").value) / 100;
  $("map").style.opacity = part;
  $("window").style.backdropFilter = `grayscale(${Math.min(1, 2 * part)})`;
  $("opacity-shown").value = `${$("opacity").value} %`;
}
$("opacity").addEventListener("input", setOpacity);
$("more").addEventListener("click", () => {
  current.isLong = !current.isLong;
  showLandmarks(current.answers.get(current.selected));
});
$("show-answer").addEventListener("click", () => select(""));

setOpacity();
loadModel();
