// The report without it is whole; with it tables can be sorted and the points of the plane say what they are.
"use strict";

for (const table of document.querySelectorAll(".scroll > table")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => !row.classList.contains("corrected"));
  const last = [...body.rows].filter((row) => row.classList.contains("corrected"));
  const value = (row, column) => {
    const found = row.cells[column].textContent.replaceAll("−", "-").replaceAll(",", "").match(/-?\d+(\.\d+)?/);
    return found ? Number(found[0]) : NaN;
  };
  const sort = (column, direction) => {
    const order = rows.map((row, place) => [column ? value(row, column) : place, row]);
    order.sort(([a], [b]) => (isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : direction * (a - b)));
    body.append(...order.map(([, row]) => row), ...last);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? (direction > 0 ? "ascending" : "descending") : "none"));
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = column ? "Sort by this column" : "Back to graph order";
    button.addEventListener("click", () => {
      const first = column ? -1 : 1; // the highest first, the first block first
      const same = head.getAttribute("aria-sort") === (first > 0 ? "ascending" : "descending");
      sort(column, same ? -first : first);
    });
    head.append(button);
  });
}

const plane = document.querySelector("#clips svg");
if (plane) {
  const told = document.querySelector("#clips output");
  const player = document.querySelector("#clips audio");
  const points = [...plane.querySelectorAll("circle")];
  let sources = [], chosen = -1;

  // From its place on the disk; where it is not there any more, the excerpt in the page; else a sentence.
  const play = () => {
    const source = sources.shift();
    player.hidden = source === undefined;
    if (source === undefined) {
      player.removeAttribute("src");
      return false;
    }
    player.src = source;
    if (!source.startsWith("data:")) player.playbackRate = Math.max(0.0625, Number(player.dataset.speed));
    player.preservesPitch = false;
    player.play().catch(() => {}); // a browser that wants another click shows the controls
    return true;
  };
  player.addEventListener("error", () => {
    if (player.hasAttribute("src") && !play()) {
      told.textContent += " · cannot be played: it is not where it was, or not of a format that this browser plays";
    }
  });

  const choose = (point) => {
    chosen = points.indexOf(point);
    for (const other of points) {
      other.classList.toggle("same", point !== null && other.dataset.c === point.dataset.c);
      other.classList.toggle("chosen", other === point);
    }
    told.textContent = point ? point.textContent : told.dataset.hint;
    const { link, excerpt } = point ? point.dataset : {};
    sources = [link, excerpt && "data:audio/mpeg;base64," + excerpt].filter(Boolean);
    player.pause();
    if (!play() && point) told.textContent += " · its recording was not found";
  };
  plane.addEventListener("click", (event) => choose(event.target.closest("circle")));
  plane.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(points[(chosen + step + points.length) % points.length]);
  });
}
