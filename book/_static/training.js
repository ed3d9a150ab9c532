/* A training as a film: every block of a network at each snapshot, for trainings that differ in weight decay. */
"use strict";

(() => {
  const home = document.getElementById("training"), tools = window.resperturbInteractive;
  const { data, blocks, seed, sections, runs } = window.resperturbTraining ?? {};
  if (!home || !tools || !runs) return; // the figure below remains
  const { make, draw, scale, axes, line, slider, speaker } = tools;
  const STYLES = [["interactive-first-series", "6 4"], ["interactive-main", null], ["interactive-third-series", "2 3"]];
  const STAY = 1200, MOVE = 350; // milliseconds at a snapshot, and between two
  const HEIGHT = 340, APART = 15; // pixels between labels
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const last = Math.min(...runs.map((run) => run.snapshots.length)) - 1;
  const epochs = runs[0].snapshots.map(({ epoch }) => epoch), whole = epochs[last];
  const when = (at) => (at === 0 ? "Before training" : at === last ? `After training, ${whole} epochs` : `Epoch ${epochs[at]} of ${whole}, share ${epochs[at] / whole}`);
  const short = (value) => value.toPrecision(2);
  const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(0)} %`);
  const named = ({ name, decay }) => (decay ? `${name} (${decay.toExponential()})` : name);

  const every = runs.flatMap((run) => run.snapshots.flatMap(({ scaled }) => scaled));
  const domain = [Math.min(...every) / 1.15, Math.max(...every) * 1.15];
  const ticks = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].filter((tick) => tick > domain[0] && tick < domain[1]);
  const shown = runs.map(() => true);
  let at = last, playing = null, moving = null, values = runs.map((run) => run.snapshots[at]);

  /* ---------- the picture */

  const svg = draw("svg", { role: "img" });

  /** Draw values, which may lie between those of two snapshots. */
  function paint() {
    const width = Math.max(280, Math.floor(svg.parentElement.clientWidth)), wide = width > 520;
    const box = { left: 46, right: width - (wide ? 128 : 44), top: 36, bottom: HEIGHT - 44 };
    const x = { at: scale([0.5, blocks + 0.5], [box.left, box.right]), label: "block" };
    const step = blocks / (box.right - box.left) > 0.1 ? 5 : 3;
    x.ticks = Array.from({ length: blocks }, (_, index) => index + 1).filter((block) => block === 1 || block % step === 0);
    const y = { at: scale(domain, [box.bottom, box.top], true), ticks, label: "scaled perturbation ‖f(x)‖ / ‖x‖" };
    const through = (scaled) => sections.reduce((path, section, index) =>
      path + line([[x.at(index + 1), y.at(scaled[index])]]).replace("M", section === sections[index - 1] ? "L" : "M"), "");
    const borders = sections.flatMap((section, index) => (index && section !== sections[index - 1] ? [index + 0.5] : []));
    const parts = [axes(x, y, box),
      ...borders.map((border) => draw("line", { x1: x.at(border), x2: x.at(border), y1: box.top, y2: box.bottom, class: "interactive-border" })),
      draw("path", { d: through(runs[0].snapshots[0].scaled), class: "interactive-reference" })];
    const labels = [];
    runs.forEach((run, index) => {
      if (!shown[index]) return;
      const [colour, dash] = STYLES[index % STYLES.length], { scaled, average } = values[index];
      parts.push(
        draw("line", { x1: box.left, x2: box.right, y1: y.at(average), y2: y.at(average), class: `interactive-average ${colour}` }),
        draw("path", { d: through(scaled), class: `interactive-line ${colour}`, "stroke-dasharray": dash, "data-training": run.name }),
        ...scaled.map((value, place) => draw("circle", { cx: x.at(place + 1), cy: y.at(value), r: 2.5, class: `interactive-dot ${colour}` })));
      labels.push({ place: y.at(average), colour, words: wide ? `${short(average)} ${run.name}` : short(average) });
    });
    labels.sort((a, b) => a.place - b.place);
    labels.forEach((label, index) => {
      if (index) label.place = Math.max(label.place, labels[index - 1].place + APART);
      parts.push(draw("text", { x: box.right + 6, y: label.place, dy: "0.35em", class: `interactive-value ${label.colour}` }, label.words));
    });
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.replaceChildren(...parts);
  }

  /** Move from the values that are shown to those of the snapshot, unless the reader wants no motion. */
  function move() {
    cancelAnimationFrame(moving);
    const from = values, to = runs.map((run) => run.snapshots[at]), began = performance.now();
    const between = (a, b, share) => a * (b / a) ** share; // as on the axis
    const frame = (now) => {
      const share = still.matches ? 1 : Math.min(1, Math.max(0, (now - began) / MOVE));
      values = share === 1 ? to : to.map((goal, index) => ({
        average: between(from[index].average, goal.average, share),
        scaled: goal.scaled.map((value, block) => between(from[index].scaled[block], value, share)),
      }));
      paint();
      if (share < 1) moving = requestAnimationFrame(frame);
    };
    frame(began);
  }

  /* ---------- what is chosen, and the words for it */

  const [say, status] = speaker();
  const button = make("button", { type: "button", onclick: () => (playing ? pause() : play()) });
  const snapshot = slider("training-snapshot", "Moment", { min: 0, max: last, step: 1 }, (value) => { pause(); show(value); });
  const rows = make("tbody");
  const keys = runs.map((run, index) => {
    const [colour, dash] = STYLES[index % STYLES.length];
    const box = make("input", { type: "checkbox", checked: true, onchange: () => { shown[index] = box.checked; paint(); } });
    const sample = draw("svg", { width: 30, height: 12, "aria-hidden": "true" },
      draw("line", { x1: 0, x2: 30, y1: 6, y2: 6, class: `interactive-line ${colour}`, "stroke-dasharray": dash }));
    return make("label", {}, box, sample, named(run));
  });

  function show(value) {
    at = value;
    const now = runs.map((run) => run.snapshots[at]);
    snapshot.show(at, when(at));
    rows.replaceChildren(...now.map((each, index) => make("tr", {}, make("th", { scope: "row" }, make("a", { href: runs[index].record }, named(runs[index]))),
      ...[each.average.toPrecision(3), each.clock.toFixed(2), percent(each.accuracy)].map((words) => make("td", {}, words)))));
    const averages = runs.map((run, index) => `${run.name} ${short(now[index].average)}`).join(", ");
    svg.setAttribute("aria-label", `Scaled perturbation of each of ${blocks} blocks on a logarithmic axis. ${when(at)}, the averages are: ${averages}.`);
    say(`${when(at)}. Average: ${averages}.`);
    move();
  }
  function play() {
    if (at === last) show(0);
    playing = setInterval(() => { show(at + 1); if (at === last) pause(); }, STAY);
    button.textContent = "Pause";
  }
  function pause() {
    clearInterval(playing);
    playing = null;
    button.textContent = "Play";
  }

  const heads = ["", "average", "T so far", "test accuracy"].map((words) => make(words ? "th" : "td", words ? { scope: "col" } : {}, words));
  home.append(
    make("div", { class: "interactive-controls interactive-player" }, button, snapshot.field),
    make("div", { class: "interactive-keys", role: "group", "aria-label": "Trainings that are drawn" }, ...keys),
    make("div", {}, svg),
    status,
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), rows),
    make("p", { class: "interactive-note" }, `${data}, ${blocks} blocks, seed ${seed}; all start from the same weights, whose blocks are the grey line. `,
      "Thin lines are the averages, dotted ones separate sections. T is the time under weight decay. Accuracy on the way is that on a part of the test images. Between snapshots nothing was measured. The figure below follows the exponent over the same share of training."),
  );
  home.hidden = false;
  pause();
  show(at);
  let drawn = home.clientWidth;
  new ResizeObserver(() => {
    if (home.clientWidth !== drawn) { drawn = home.clientWidth; requestAnimationFrame(paint); }
  }).observe(home);
})();
