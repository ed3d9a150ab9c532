/* One way from input to output, cut into more and more steps: how long a step is, by their number and their alignment. */
"use strict";

(() => {
  const home = document.getElementById("steps"), tools = window.resperturbInteractive;
  if (!home || !tools) return;
  const { make, draw, scale, axes, line, slider, speaker, minus } = tools;
  const MOST = 64, SEED = 1802; // with this seed no path leaves the panel
  const WIDTH = 360, HEIGHT = 272;

  /* ---------- the formula: n steps of one length, with a mean cosine c of two of them, that lead 1 away */

  const reach = (n, c) => Math.sqrt(n * (1 + (n - 1) * c)); // of n steps of length 1
  const size = (n, c) => 1 / reach(n, c);
  const slope = (n, c) => -(1 + (n * c) / (1 + (n - 1) * c)) / 2; // of log size over log n

  /* ---------- a path in a plane with these two numbers */

  /** Numbers between 0 and 1 that are the same every time (mulberry32). */
  function random(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }
  const next = random(SEED);
  const ANGLES = Array.from({ length: MOST }, () => (2 * next() - 1) * Math.PI);

  /** The corners of the path: random angles, narrowed by one factor until the steps reach as far as they should. */
  function corners(n, c) {
    const sum = (factor) => ANGLES.slice(0, n).reduce(([x, y], a) => [x + Math.cos(factor * a), y + Math.sin(factor * a)], [0, 0]);
    const far = (factor) => Math.hypot(...sum(factor)) > reach(n, c);
    let high = 0;
    while (far(high) && high < 2) high += 0.01;
    let low = Math.max(0, high - 0.01);
    for (let turn = 0; turn < 30; turn++) far((low + high) / 2) ? (low = (low + high) / 2) : (high = (low + high) / 2);
    const [x, y] = sum(high), length = Math.hypot(x, y), turned = Math.atan2(y, x);
    const found = [[0, 0]];
    for (const angle of ANGLES.slice(0, n)) {
      const [a, b] = found.at(-1);
      found.push([a + Math.cos(high * angle - turned) / length, b + Math.sin(high * angle - turned) / length]);
    }
    return found;
  }

  /* ---------- two panels */

  const picture = () => draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });

  const way = picture();
  const across = scale([-0.27, 1.32], [0, WIDTH]);
  const up = (height) => HEIGHT / 2 - height * (across(1) - across(0)); // one scale in both directions
  const walked = draw("path", { class: "interactive-line interactive-main" });
  const first = draw("path", { class: "interactive-first" });
  const joints = draw("g", { class: "interactive-joints" });
  const end = (x, words, where) => [
    draw("circle", { cx: across(x), cy: up(0), r: 6, class: "interactive-end" }),
    draw("text", { x: across(x) + where, y: up(0) + 22, "text-anchor": "middle", class: "interactive-halo" }, words),
  ];
  way.append(draw("line", { x1: across(0), x2: across(1), y1: up(0), y2: up(0), class: "interactive-straight" }),
    walked, joints, first, ...end(0, "input", -6), ...end(1, "output", 6));

  const curve = picture();
  const box = { left: 46, right: WIDTH - 48, top: 30, bottom: HEIGHT - 44 };
  const x = { at: scale([1, MOST], [box.left, box.right], true), ticks: [1, 2, 4, 8, 16, 32, 64], label: "number of blocks L" };
  const y = { at: scale([0.0125, 1], [box.bottom, box.top], true), ticks: [1, 0.5, 0.2, 0.1, 0.05, 0.02], label: "size of a step" };
  const counts = Array.from({ length: MOST }, (_, index) => index + 1);
  const along = (value) => line(counts.map((n) => [x.at(n), y.at(value(n))]));
  const formula = draw("path", { class: "interactive-line interactive-main" });
  const here = draw("circle", { r: 7, class: "interactive-here" });
  const reference = (power, words) => [
    draw("path", { d: along((n) => n ** power), class: "interactive-reference" }),
    draw("text", { x: box.right + 11, y: y.at(MOST ** power), dy: "0.35em" }, words),
  ];
  curve.append(axes(x, y, box), ...reference(-0.5, "1/√L"), ...reference(-1, "1/L"), formula, here);

  /* ---------- what is chosen, and drawing it */

  const state = { blocks: 16, alignment: 0 };
  const [say, status] = speaker();
  const change = (update) => render(Object.assign(state, update));
  const blocks = slider("steps-blocks", "Number of blocks", { min: 1, max: MOST, step: 1 }, (n) => change({ blocks: n }));
  const alignment = slider("steps-alignment", "Alignment (0 random, 1 all in one direction)",
    { min: 0, max: 1, step: 0.01 }, (c) => change({ alignment: c }));
  const readout = make("p", { class: "interactive-readout" });

  function render({ blocks: n, alignment: c }) {
    const count = `${n} ${n === 1 ? "block" : "blocks"}`, path = corners(n, c).map(([a, b]) => [across(a), up(b)]);
    const step = String(Number(size(n, c).toPrecision(2))), falls = slope(n, c);
    const like = falls > -0.55 ? "as 1/√L" : falls < -0.95 ? "as 1/L" : "between 1/√L and 1/L";
    const words = `${count}, alignment ${c.toFixed(2)}: each step is ${step} of the way.`;
    blocks.show(n, count);
    alignment.show(c, c.toFixed(2));
    walked.setAttribute("d", line(path));
    first.setAttribute("d", line(path.slice(0, 2)));
    joints.replaceChildren(...path.slice(1, -1).map(([cx, cy]) => draw("circle", { cx, cy, r: 2.5 })));
    way.setAttribute("aria-label", `A path of ${n === 1 ? "one step" : `${n} equal steps`} from input to output, ${path.length > 2 && c < 1 ? "with turns" : "straight"}.`);
    formula.setAttribute("d", along((each) => size(each, c)));
    here.setAttribute("cx", x.at(n));
    here.setAttribute("cy", y.at(size(n, c)));
    curve.setAttribute("aria-label", `Size of a step against number of blocks, both axes logarithmic, with lines for 1/√L and 1/L. At ${count} it is ${step}.`);
    readout.replaceChildren(make("strong", {}, words), ` With more blocks a step shrinks ${like} (slope ${minus(falls.toFixed(2))} here).`);
    say(readout.textContent);
  }

  const panel = (title, svg) => make("div", { class: "interactive-panel" }, make("p", { class: "interactive-title" }, title), svg);
  home.append(
    make("div", { class: "interactive-controls" }, blocks.field, alignment.field),
    readout,
    status,
    make("div", { class: "interactive-panels" }, panel("The path; its first step is thick", way), panel("The size of a step", curve)),
    make("p", { class: "interactive-note" }, "The alignment c is the mean cosine of two steps. The curve is the formula 1/√(L(1 + (L − 1)c)). ",
      "The path has the same c and steps of the same size. It lies in a plane, where no three steps can be at right angles to each other."),
  );
  home.hidden = false;
  render(state);
})();
