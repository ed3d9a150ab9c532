// The index of all runs: sorted by the buttons in its heads, filtered by folder, data set, state and words.
// Without this script it is a plain table.
document.addEventListener("DOMContentLoaded", () => {
  const index = document.getElementById("run-index");
  if (!index) return;
  const body = index.querySelector("tbody"), rows = [...body.rows], heads = [...index.querySelectorAll("thead th")];
  const column = (name) => heads.findIndex((head) => head.textContent === name);
  const text = (row, place) => row.cells[place].textContent;
  const number = (words) => (/^[\d.]+%?$/.test(words) ? Number.parseFloat(words) : null);

  const compare = (place, sign) => (first, second) => {
    const [a, b] = [first, second].map((row) => text(row, place)), [x, y] = [number(a), number(b)];
    if (x !== null && y !== null) return sign * (x - y);
    if (x !== null || y !== null) return x === null ? 1 : -1; // what has no number comes last either way
    return sign * a.localeCompare(b, "en", { numeric: true });
  };
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...rows.sort(compare(place, descending ? -1 : 1)));
    });
  });

  const controls = document.createElement("div"), count = document.createElement("p");
  controls.className = "run-controls";
  count.setAttribute("role", "status");
  index.before(controls, count);
  const add = (word, control) => {
    const label = document.createElement("label");
    label.append(word, control);
    controls.append(label);
    return control;
  };
  const choices = ["folder", "data set", "state"].map((name) => {
    const select = add(name, document.createElement("select")), place = column(name);
    const values = new Set(rows.map((row) => text(row, place)));
    select.append(new Option("all", ""), ...[...values].map((value) => new Option(value, value)));
    return { select, place };
  });
  const search = add("words", document.createElement("input"));
  search.type = "search";

  const filter = () => {
    const wanted = search.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const words = row.textContent.toLowerCase();
      row.hidden = !choices.every(({ select, place }) => !select.value || text(row, place) === select.value) || !wanted.every((word) => words.includes(word));
    }
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} runs`;
  };
  const folder = choices[0].select;
  const fromAddress = () => {
    folder.value = new URLSearchParams(location.hash.slice(1)).get("folder") ?? "";
    if (folder.selectedIndex < 0) folder.value = ""; // no such folder
    filter();
  };
  folder.addEventListener("change", () => history.replaceState(null, "", folder.value ? `#folder=${encodeURIComponent(folder.value)}` : "#"));
  controls.addEventListener("input", filter);
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
});
