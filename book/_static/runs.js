// The index of all runs: sorted by the buttons in its heads, filtered by folder, data set and words.
// Without this script it is a plain table. Other pages of the book have no such table and load no such script.
document.addEventListener("DOMContentLoaded", () => {
  const index = document.getElementById("run-index");
  if (!index) return;
  const table = index.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const column = (name) => heads.findIndex((head) => head.textContent.trim() === name);
  const text = (row, place) => row.cells[place].textContent.trim();

  const compare = (place, descending) => (first, second) => {
    const [a, b] = [first, second].map((row) => row.cells[place]);
    const [x, y] = [a, b].map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value)));
    if (x !== null && y !== null) return descending ? y - x : x - y;
    if (x !== null || y !== null) return x === null ? 1 : -1; // what has no number comes last either way
    const order = a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    return descending ? -order : order;
  };
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      rows.sort(compare(place, descending));
      body.append(...rows);
    });
  });

  const controls = document.createElement("div");
  controls.className = "run-controls";
  const labelled = (word, control) => {
    const label = document.createElement("label");
    label.append(word, control);
    controls.append(label);
    return control;
  };
  const choice = (word, place) => {
    const select = labelled(word, document.createElement("select"));
    select.append(new Option("all", ""));
    [...new Set(rows.map((row) => text(row, place)))].forEach((value) => select.append(new Option(value, value)));
    return [select, place];
  };
  const selects = [choice("folder", column("folder")), choice("data set", column("data set")), choice("state", column("state"))];
  const words = labelled("words", document.createElement("input"));
  words.type = "search";
  const count = document.createElement("p");
  count.className = "run-count";
  count.setAttribute("role", "status");
  index.prepend(controls, count);

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row) => {
      const kept =
        selects.every(([select, place]) => !select.value || text(row, place) === select.value) &&
        wanted.every((word) => row.textContent.toLowerCase().includes(word));
      row.hidden = !kept;
      shown += kept;
    });
    count.textContent = `${shown} of ${rows.length} runs`;
  };
  const folder = selects[0][0];
  const fromAddress = () => {
    const asked = new URLSearchParams(location.hash.slice(1)).get("folder");
    if (asked !== null) folder.value = [...folder.options].some((option) => option.value === asked) ? asked : "";
    filter();
  };
  folder.addEventListener("change", () => {
    history.replaceState(null, "", folder.value ? `#folder=${encodeURIComponent(folder.value)}` : "#");
  });
  controls.addEventListener("input", filter);
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
});
