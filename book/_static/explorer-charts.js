/* The explorer's charts: what Observable Plot draws, and reading values off it by pointer, finger or keys. */
"use strict";

window.resperturbCharts = (() => {
  const MOMENTS = [
    { key: "initialization", words: "at initialisation", colour: "var(--explorer-initialization)", dash: "6 4", symbol: "square" },
    { key: "end", words: "after training", colour: "var(--explorer-end)", dash: null, symbol: "circle" },
  ];
  const MEASURES = {
    scaled: { name: "scaled perturbation", axis: "‖f(x)‖ / ‖x‖", signed: false },
    absolute: { name: "absolute perturbation", axis: "‖f(x)‖", signed: false },
    cosine: { name: "cosine", axis: "cosine of f(x) and x", signed: true },
  };
  const DOTS_UP_TO = 60; // blocks; more than that, and markers hide the line
  const STYLE = { background: "none", color: "currentColor", fontFamily: "inherit", fontSize: "12px", overflow: "visible" };
  const HINT = "Point at the chart, or focus it and use the arrow keys, to read values.";
  const HINT_OF_CHOICE = "Choose a depth by a click, or by Enter after the arrow keys.";

  const text = (value) => (value == null ? "no value" : String(value).replace("-", "−"));
  const percent = (share) => (share == null ? "none" : `${Number((100 * share).toFixed(2))} %`);
  const tick = (value) => String(Number(value.toPrecision(2))).replace("-", "−");
  const count = (blocks) => `${blocks} ${blocks === 1 ? "block" : "blocks"}`;

  /** The smallest and the largest of some numbers, with a little room; on a logarithmic axis only of those above 0. */
  function extent(values, logarithmic) {
    const kept = values.filter((value) => value != null && (!logarithmic || value > 0));
    if (!kept.length) return logarithmic ? [0.1, 1] : [0, 1];
    const [low, high] = d3.extent(kept);
    if (logarithmic) return [low / 1.15, high * 1.15];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  }

  /** Few ticks at round numbers: powers of ten, with 2 and 5 between them where there are few decades. */
  function ticksOf(domain, logarithmic) {
    if (!logarithmic) return d3.ticks(...domain, 4);
    const [low, high] = domain, decades = Math.log10(high / low);
    const powers = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1).map((power) => 10 ** power);
    return powers.flatMap((power) => (decades > 2.2 ? [1] : [1, 2, 5]).map((step) => Number((step * power).toPrecision(1))))
      .filter((value) => value >= low && value <= high);
  }

  /** The vertical axis for some numbers. */
  function valueAxis(values, label, logarithmic, more = {}) {
    const domain = extent(values, logarithmic);
    return { type: logarithmic ? "log" : "linear", domain, label, labelArrow: "none", grid: true, ticks: ticksOf(domain, logarithmic), tickFormat: tick, ...more };
  }

  /** An element that holds a chart, a line that says values aloud, and the keys and pointers that choose them. */
  function reader(host, readout) {
    let plot = null, points = [], pick = null, at = null, cursor = null;

    function show(index) {
      if (!points.length) return;
      at = Math.max(0, Math.min(points.length - 1, index));
      const point = points[at], x = plot.scale("x").apply(point.x), y = plot.scale("y");
      const [bottom, top] = y.range;
      cursor.selectAll("*").remove();
      cursor.append("line").attr("x1", x).attr("x2", x).attr("y1", bottom).attr("y2", top).attr("stroke", "currentColor");
      for (const mark of point.marks) {
        if (mark.y == null || (y.type === "log" && mark.y <= 0)) continue;
        cursor.append("circle").attr("cx", x).attr("cy", y.apply(mark.y)).attr("r", 5.5).attr("fill", mark.colour)
          .attr("stroke", "var(--pst-color-background)").attr("stroke-width", 2);
      }
      readout.textContent = point.text;
    }
    function rest() {
      at = null;
      cursor?.selectAll("*").remove();
      const hint = pick ? HINT_OF_CHOICE : HINT;
      if (readout.textContent !== hint) readout.textContent = hint;
    }
    function near(event) {
      const scale = plot.scale("x");
      const x = ((event.clientX - plot.getBoundingClientRect().left) * plot.viewBox.baseVal.width) / plot.getBoundingClientRect().width;
      show(d3.minIndex(points, (point) => Math.abs(scale.apply(point.x) - x)));
    }
    host.addEventListener("pointermove", near);
    host.addEventListener("pointerdown", near);
    host.addEventListener("pointerleave", () => { if (document.activeElement !== host) rest(); });
    host.addEventListener("click", () => { if (at != null) pick?.(points[at]); });
    host.addEventListener("focus", () => { if (at == null && host.matches(":focus-visible")) show(Math.max(0, points.findIndex((p) => p.chosen))); });
    host.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const from = at ?? -1;
      const to = {
        ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1,
        PageDown: from - 10, PageUp: from + 10, Home: 0, End: points.length - 1,
      }[event.key];
      if (to !== undefined) show(to);
      else if ((event.key === "Enter" || event.key === " ") && at != null && pick) pick(points[at]);
      else if (event.key === "Escape") rest();
      else return;
      event.preventDefault();
    });

    return {
      /** Put a plot in the place of the last one. `chosen` marks the point that the keys start from. */
      draw(newPlot, label, newPoints, newPick = null) {
        [plot, points, pick] = [newPlot, newPoints, newPick];
        plot.setAttribute("role", "img");
        plot.setAttribute("aria-label", label);
        for (const group of plot.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label"); // the whole is one image
        host.setAttribute("aria-label", `${label} Arrow keys read values${pick ? ", Enter chooses a depth" : ""}.`);
        host.replaceChildren(plot);
        cursor = d3.select(plot).append("g").attr("class", "explorer-cursor").attr("pointer-events", "none");
        const chosen = points.findIndex((point) => point.chosen);
        if (document.activeElement === host && at != null && pick && chosen >= 0) show(chosen);
        else rest();
      },
    };
  }

  /** A measure over the blocks of one run; the series that are shown decide the axis, so that it stands still while depths change. */
  function profile(run, measure, shown, width) {
    const { signed, axis, name } = MEASURES[measure];
    const every = shown.flatMap((s) => s.runs.flatMap((r) => MOMENTS.flatMap(({ key }) => r.profile[key][measure] ?? [])));
    const marks = run.sections.slice(1).map((first) => Plot.ruleX([first - 0.5], { strokeDasharray: "1 4", strokeOpacity: 0.8 }));
    const section = (block) => d3.bisectRight(run.sections, block);
    if (signed) marks.push(Plot.ruleY([0], { strokeOpacity: 0.5 }));
    const rows = {};
    for (const { key, colour, dash, symbol } of MOMENTS) {
      const columns = run.profile[key];
      const drawn = (value) => (value == null || (!signed && value <= 0) ? NaN : value);
      rows[key] = (columns[measure] ?? []).map((value, index) => ({
        block: index + 1, section: section(index + 1), value, y: drawn(value),
        low: columns[`${measure}_low`]?.[index], high: columns[`${measure}_high`]?.[index],
      }));
      const x = "block", z = "section";
      if (rows[key].some((row) => row.low != null))
        marks.push(Plot.areaY(rows[key], { x, z, y1: (d) => drawn(d.low), y2: (d) => drawn(d.high), fill: colour, fillOpacity: 0.16, clip: true }));
      marks.push(Plot.lineY(rows[key], { x, z, y: "y", stroke: colour, strokeWidth: 2, strokeDasharray: dash, clip: true }));
      if (run.blocks <= DOTS_UP_TO) marks.push(Plot.dot(rows[key], { x, y: "y", fill: colour, symbol, r: run.blocks <= 30 ? 3.5 : 2.5 }));
    }
    const plot = Plot.plot({
      width, height: Math.round(Math.max(230, Math.min(320, width * 0.42))), marginLeft: 48, marginRight: 14, marginBottom: 40, style: STYLE,
      x: { domain: [0.5, run.blocks + 0.5], label: "block", labelAnchor: "center", labelArrow: "none", tickFormat: "d",
        ticks: d3.ticks(1, run.blocks, Math.min(run.blocks, width / 70)).filter(Number.isInteger) },
      y: valueAxis(every, axis, !signed),
      marks,
    });
    const points = d3.range(1, run.blocks + 1).map((block) => {
      const found = [...MOMENTS].reverse().map((moment) => ({ ...moment, row: rows[moment.key][block - 1] })).filter(({ row }) => row);
      const said = found.map(({ row, words }) =>
        `${text(row.value)} ${words}${row.low == null ? "" : ` (${text(row.low)} to ${text(row.high)} over images)`}`);
      return {
        x: block, marks: found.map(({ row, colour }) => ({ y: row.value, colour })),
        text: `Block ${block} of ${run.blocks}, section ${section(block)}: ${said.join(", ")}.`,
      };
    });
    const label = `The ${name} of each of ${count(run.blocks)}, ${run.diverged ? "at initialisation; the run diverged" : run.averages.initialization ? "at initialisation and after training" : "after training"}.`;
    return [plot, label, points];
  }

  /** An axis over depth for all series that are shown. */
  function depthAxis(shown, width) {
    const depths = [...new Set(shown.flatMap((one) => one.runs.map((run) => run.blocks)))].sort((a, b) => b - a);
    const apart = width < 300 ? 1.9 : 1.5, ticks = [];
    for (const depth of depths) if (!ticks.length || ticks.at(-1) >= apart * depth) ticks.push(depth);
    return { type: "log", domain: [depths.at(-1) / 1.12, depths[0] * 1.12], ticks, tickFormat: "d", label: "number of blocks L", labelAnchor: "center", labelArrow: "none" };
  }

  /** For each depth of a series the run that would be chosen there. */
  const alongDepths = (one, chosen, choose) =>
    [...new Set(one.runs.map((run) => run.blocks))].sort((a, b) => a - b).map((blocks) => (blocks === chosen.blocks ? chosen : choose(blocks)));

  /** Averages over the blocks against depth: every run of the series, the chosen one in a ring, with the fitted laws, and
      those of other series after training. */
  function scaling(one, chosen, measure, shown, width, choose, others) {
    const { signed, name } = MEASURES[measure];
    const average = (run, key) => run.averages[key]?.[measure] ?? null;
    const values = [...shown, ...others].flatMap((s) => s.runs.flatMap((run) => MOMENTS.map(({ key }) => average(run, key))));
    const depthsOf = ({ runs }) => d3.extent(runs, (run) => run.blocks), depths = depthsOf(one), laws = one.laws[measure] ?? {};
    const marks = [Plot.ruleX([chosen.blocks], { strokeOpacity: 0.25, strokeWidth: 6 })];
    if (signed) marks.push(Plot.ruleY([0], { strokeOpacity: 0.5 }));
    const line = (law, over = depths) => over.map((blocks) => ({ blocks, y: law.prefactor * blocks ** law.exponent }));
    if (laws.end) {
      const start = line(laws.end)[0].y * depths[0];
      marks.push(Plot.line(depths, { x: (d) => d, y: (d) => start / d, strokeDasharray: "1 3", strokeWidth: 1.5, clip: true }));
    }
    for (const other of others) {
      const law = other.laws[measure]?.end;
      if (law) marks.push(Plot.line(line(law, depthsOf(other)), { x: "blocks", y: "y", strokeOpacity: 0.45, strokeWidth: 1.5, clip: true }));
    }
    for (const { key, colour, dash, symbol } of MOMENTS) {
      if (laws[key]) marks.push(Plot.line(line(laws[key]), { x: "blocks", y: "y", stroke: colour, strokeWidth: 2, strokeDasharray: dash, clip: true }));
      const runs = one.runs.filter((run) => average(run, key) != null && (signed || average(run, key) > 0));
      const mark = { x: "blocks", y: (run) => average(run, key), symbol, stroke: colour };
      marks.push(Plot.dot(runs.filter((run) => run !== chosen), { ...mark, r: 3, strokeOpacity: 0.8 }));
      marks.push(Plot.dot(runs.filter((run) => run === chosen), { ...mark, r: 6, fill: colour, stroke: "currentColor", strokeWidth: 2 }));
    }
    const plot = Plot.plot({
      width, height: 270, marginLeft: 48, marginRight: 14, marginBottom: 40, style: STYLE, x: depthAxis([...shown, ...others], width),
      y: valueAxis(values, `average ${name}`, !signed),
      marks,
    });
    const points = alongDepths(one, chosen, choose).map((run) => {
      const found = [...MOMENTS].reverse().map((moment) => ({ ...moment, y: average(run, moment.key), law: laws[moment.key] })).filter(({ y }) => y != null);
      const said = found.map(({ y, words, law }) => `${text(y)} ${words}${law ? ` (line: ${text(Number((law.prefactor * run.blocks ** law.exponent).toPrecision(3)))})` : ""}`);
      return { x: run.blocks, run, chosen: run === chosen, marks: found, text: `${count(run.blocks)}, seed ${run.seed}: average ${said.join(", ")}.` };
    });
    return [plot, `The average ${name} over the blocks against depth, every run that was trained alike; the chosen run has a ring.`, points];
  }

  /** Test accuracy against depth, every run of the series. */
  function accuracy(one, chosen, shown, width, choose) {
    const colour = "var(--explorer-accuracy)", known = (runs) => runs.filter((run) => run.accuracy != null);
    const means = d3.sort(d3.rollups(known(one.runs), (runs) => d3.mean(runs, (run) => run.accuracy), (run) => run.blocks), (d) => d[0]);
    const mark = { x: "blocks", y: "accuracy", symbol: "triangle", stroke: colour };
    const plot = Plot.plot({
      width, height: 270, marginLeft: 48, marginRight: 14, marginBottom: 40, style: STYLE, x: depthAxis(shown, width),
      y: valueAxis(shown.flatMap((s) => known(s.runs).map((run) => run.accuracy)), "test accuracy (%)", false,
        { tickFormat: (share) => String(Number((100 * share).toFixed(1))) }),
      marks: [
        Plot.ruleX([chosen.blocks], { strokeOpacity: 0.25, strokeWidth: 6 }),
        Plot.line(means, { x: "0", y: "1", stroke: colour, strokeWidth: 2, strokeDasharray: "8 3 2 3" }),
        Plot.dot(known(one.runs).filter((run) => run !== chosen), { ...mark, r: 3, strokeOpacity: 0.8 }),
        Plot.dot(known([chosen]), { ...mark, r: 6, fill: colour, stroke: "currentColor", strokeWidth: 2 }),
      ],
    });
    const points = alongDepths(one, chosen, choose).map((run) => ({
      x: run.blocks, run, chosen: run === chosen, marks: [{ y: run.accuracy, colour }],
      text: `${count(run.blocks)}, seed ${run.seed}: ${run.accuracy == null ? "diverged" : `test accuracy ${percent(run.accuracy)}`}.`,
    }));
    return [plot, "Test accuracy against depth, every run that was trained alike; the chosen run has a ring.", points];
  }

  return { MOMENTS, MEASURES, reader, profile, scaling, accuracy, text, percent, count };
})();
