"use strict";
// Draws the figures, sorts and filters the leaderboard, and points out in all figures what is shown or picked there.
(function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const tables = read("tables"), specs = read("specs"), views = [];

  // ---- data: columns to rows -------------------------------------------------------------------------------------

  function rowsOf(columns) {
    const names = Object.keys(columns);
    const whole = names.map((name) => {
      const column = columns[name];
      return Array.isArray(column) ? column : column.at.map((place) => column.of[place]);
    });
    const n = whole.length ? whole[0].length : 0, rows = new Array(n);
    for (let at = 0; at < n; at++) {
      const row = {};
      names.forEach((name, place) => { row[name] = whole[place][at]; });
      rows[at] = row;
    }
    return rows;
  }

  function namesIn(spec, found) {
    if (spec && typeof spec === "object") {
      if (spec.data && spec.data.name) found.add(spec.data.name);
      Object.values(spec).forEach((part) => namesIn(part, found));
    }
    return found;
  }

  // ---- figures ---------------------------------------------------------------------------------------------------

  const options = {
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    renderer: "svg", tooltip: { theme: "custom" },
  };

  const NARROW = 480;  // pixels of a figure

  function narrowed(part) {
    // legends in two columns, names at axes no longer than a third
    if (!part || typeof part !== "object") return;
    if (part.legend && part.legend.columns) part.legend.columns = Math.min(part.legend.columns, 2);
    if (part.axis && part.axis.labelLimit) part.axis.labelLimit = Math.min(part.axis.labelLimit, 120);
    Object.values(part).forEach(narrowed);
  }

  async function draw(place) {
    const name = place.dataset.chart, spec = specs[name], datasets = {};
    if (place.clientWidth < NARROW) narrowed(spec);
    namesIn(spec, new Set()).forEach((each) => { datasets[each] = rowsOf(tables[each]); });
    const embedded = await vegaEmbed(place, { ...spec, datasets }, { ...options, downloadFileName: name });
    views.push(embedded.view);
    place.dataset.drawn = "yes";
  }

  async function drawAll() {
    for (const place of document.querySelectorAll("[data-chart]")) {
      try {
        await draw(place);
      } catch (error) {
        place.textContent = "This figure could not be drawn: " + error.message;
        console.error(place.dataset.chart, error);
      }
    }
    document.documentElement.dataset.ready = "yes";
    pointOut();
  }

  const MOST_ROWS = 300;
  document.querySelectorAll("details[data-table]").forEach((details) => details.addEventListener("toggle", () => {
    const place = details.querySelector("div");
    if (!details.open || place.firstChild) return;
    const rows = rowsOf(tables[details.dataset.table]), names = Object.keys(rows[0] || {});
    const table = document.createElement("table");
    const line = (cell, texts) => {
      const tr = document.createElement("tr");
      texts.forEach((text) => { tr.appendChild(document.createElement(cell)).textContent = text === null ? "–" : text; });
      return tr;
    };
    table.appendChild(document.createElement("thead")).appendChild(line("th", names));
    const body = table.appendChild(document.createElement("tbody"));
    rows.slice(0, MOST_ROWS).forEach((row) => body.appendChild(line("td", names.map((name) => row[name]))));
    place.appendChild(table);
    if (rows.length > MOST_ROWS) place.append(`and ${rows.length - MOST_ROWS} more rows`);
  }));

  // ---- the leaderboard -------------------------------------------------------------------------------------------

  const table = document.getElementById("trials"), body = table.tBodies[0], filter = document.getElementById("filter");
  const heads = Array.from(table.tHead.rows[0].cells), rows = Array.from(body.rows);
  const places = new Map();
  heads.forEach((head, at) => {
    if (!head.dataset.name) return;
    places.set(head.dataset.name, at);
    places.set(head.textContent, at);
  });

  const valueOf = (row, at) => {
    const cell = row.cells[at];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.classList.contains("none") ? null : cell.textContent;
  };

  function sortBy(head) {
    const at = heads.indexOf(head), down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
    const compare = (a, b) => {
      const [x, y] = [valueOf(a, at), valueOf(b, at)];
      if (x === null || y === null) return (x === null) - (y === null);
      return down * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    };
    rows.sort(compare).forEach((row) => body.appendChild(row));
  }
  heads.filter((head) => head.dataset.name).forEach((head) => {
    head.querySelector("button").addEventListener("click", () => sortBy(head));
  });

  const CONDITION = /^([^\s<>=!]+)(<=|>=|!=|<|>|=)(.+)$/;
  const compare = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => String(a) === String(b), "!=": (a, b) => String(a) !== String(b),
  };

  function testOf(word) {
    const match = CONDITION.exec(word);
    if (match && places.has(match[1])) {
      const [, name, sign, text] = match, at = places.get(name), number = Number(text);
      return (row) => {
        const value = valueOf(row, at);
        return value !== null && compare[sign](value, typeof value === "number" && text !== "" ? number : text);
      };
    }
    const low = word.toLowerCase();
    return (row) => row.textContent.toLowerCase().includes(low);
  }

  function applyFilter() {
    // 'val_loss < 2' is 'val_loss<2'; 'and' and 'has' are for people
    const words = filter.value.replace(/\s*(<=|>=|!=|<|>|=)\s*/g, "$1").split(/\s+/);
    const tests = words.filter((word) => word && !/^(and|has)$/i.test(word)).map(testOf);
    rows.forEach((row) => { row.hidden = !tests.every((test) => test(row)); });
    pointOut();
  }

  function pointOut() {
    const shown = rows.filter((row) => !row.hidden), picked = rows.filter((row) => row.querySelector("input").checked);
    const isFiltered = shown.length < rows.length;
    const focus = (picked.length ? picked : isFiltered ? shown : []).map((row) => Number(row.dataset.trial));
    rows.forEach((row) => row.classList.toggle("picked", picked.includes(row)));
    document.getElementById("n-shown").textContent =
      (isFiltered ? `${shown.length} of ${rows.length} trials` : `${rows.length} trials`)
      + (picked.length ? `, ${picked.length} picked` : "");
    views.forEach((view) => {
      try { view.signal("focus", focus).runAsync(); } catch (error) { /* a figure that shows no trials */ }
    });
  }

  let waiting = 0;
  filter.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(applyFilter, 120); });
  body.addEventListener("change", pointOut);
  document.getElementById("clear").addEventListener("click", () => {
    filter.value = "";
    rows.forEach((row) => { row.querySelector("input").checked = false; });
    applyFilter();
  });

  drawAll();
})();
