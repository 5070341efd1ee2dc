"use strict";
{
  const dialog = document.getElementById("photos");
  const list = document.getElementById("photos-list");
  const photosOf = {};

  function readPhotos(run) {
    photosOf[run] ??= JSON.parse(document.getElementById(run + "-photos").textContent);
    return photosOf[run];
  }

  function figureOf(photo) {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    image.src = photo.image;
    image.alt = "Photo " + photo.id + " of " + photo.landmark + ", taken for " + photo.predicted;
    const caption = document.createElement("figcaption");
    const answer = photo.landmark === photo.predicted ? "correct, " : photo.predicted + ", ";
    caption.textContent = answer + photo.score;
    const id = document.createElement("span");
    id.className = "id";
    id.textContent = photo.id;
    caption.append(id);
    figure.append(image, caption);
    return figure;
  }

  // Without `predicted`: all photos of the landmark.
  function openPhotos(run, landmark, predicted) {
    const isShown = (photo) =>
      photo.landmark === landmark && (predicted === undefined || photo.predicted === predicted);
    const photos = readPhotos(run).filter(isShown);
    let title = landmark;
    if (predicted !== undefined) {
      title += predicted === landmark ? ", recognised" : ", taken for " + predicted;
    }
    document.getElementById("photos-title").textContent = title;
    document.getElementById("photos-note").textContent =
      photos.length ? photos.length + " photos in this file" : "None of these photos is in this file.";
    list.replaceChildren(...photos.map(figureOf));
    dialog.showModal();
  }

  for (const button of document.querySelectorAll("button.open")) {
    button.addEventListener("click", () => openPhotos(
      button.closest("table").dataset.run, button.dataset.landmark, button.dataset.predicted));
  }

  for (const matrix of document.querySelectorAll("table.matrix")) {
    const names = [...matrix.querySelectorAll("thead th[data-name]")].map((cell) => cell.dataset.name);
    for (const button of matrix.querySelectorAll("button.cell")) {
      const landmark = button.closest("tr").dataset.landmark;
      const predicted = names[button.dataset.column];
      button.title = button.textContent + " photos of " + landmark +
        (landmark === predicted ? " recognised" : " taken for " + predicted);
      button.setAttribute("aria-label", button.title);
      button.addEventListener("click", () => openPhotos(matrix.dataset.run, landmark, predicted));
    }
  }

  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();  // beside it
  });

  function valueOf(row, column, kind) {
    const text = row.cells[column].textContent.trim();
    if (kind === "text") return text;
    const number = parseFloat(text);
    return Number.isNaN(number) ? null : number;
  }

  function compare(a, b) {
    return typeof a === "string" ? a.localeCompare(b) : a - b;
  }

  for (const button of document.querySelectorAll("button.sort")) {
    button.addEventListener("click", () => {
      const header = button.closest("th");
      const table = header.closest("table");
      const falls = header.getAttribute("aria-sort") === "ascending";
      for (const other of header.parentNode.children) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map(
        (row) => [valueOf(row, header.cellIndex, button.dataset.kind), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);  // unknown ones last
        return falls ? compare(b, a) : compare(a, b);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  }

  for (const input of document.querySelectorAll("input[data-table]")) {
    const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
    const status = document.getElementById(input.id.replace("-filter", "-count"));
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      status.textContent = rows.filter((row) => !row.hidden).length + " of " + rows.length + " shown";
    });
  }
}
