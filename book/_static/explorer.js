/* The explorer: which runs are shown, the controls that choose them, and the address that remembers them.

   A classic script without requests, so that the page also works from a disk. */
"use strict";

(() => {
  const { series, measures, meanings } = window.resperturbExplorer ?? {};
  const charts = window.resperturbCharts, tools = window.resperturbInteractive;
  const home = document.getElementById("explorer");
  if (!home || !charts || !tools || !window.Plot || !series?.length) return; // the figures below remain
  const { make, speaker } = tools;

  /* ---------- what is chosen: {measure, picks: [{one, run, seed}, ...]}, always a series and a run of it that there are */

  const nearest = (values, wanted, distance) =>
    values.reduce((best, value) => (distance(value, wanted) < distance(best, wanted) ? value : best));
  const byRatio = (a, b) => Math.abs(Math.log(a / b));
  const byDifference = (a, b) => Math.abs(a - b);
  const number = (word, least) => (word !== "" && Number.isFinite(Number(word)) && Number(word) >= least ? Number(word) : null);
  const unique = (values) => [...new Set(values)];
  const depthsOf = (one) => unique(one.runs.map((run) => run.blocks)).sort((a, b) => a - b);
  const seedsOf = (one) => unique(one.runs.map((run) => run.seed)).sort((a, b) => a - b);
  const having = (among, field, wanted) => {
    const found = among.filter((one) => one[field] === wanted);
    return found.length ? found : among.filter((one) => one[field] === among[0][field]);
  };
  /** The series that share a data set and a kind of block; the first is the main one. */
  const alikeTo = (dataset, block) => having(having(series, "dataset", dataset), "kind", block);
  const othersOf = (one) => alikeTo(one.dataset, one.kind).filter((each) => each !== one && each.training === one.training);

  /** The run nearest to what is asked for; `seed` stays what was asked, to come back to where a depth has it. */
  function resolve({ dataset, block, decay, seed, blocks }) {
    const among = alikeTo(dataset, block);
    const one = among.find((each) => each.decay === decay) ?? among.find((each) => each.weight === parseFloat(decay)) ?? among[0];
    const depths = depthsOf(one);
    const depth = blocks == null ? depths.at(-1) : nearest(depths, blocks, byRatio);
    const there = one.runs.filter((run) => run.blocks === depth);
    const wanted = seed ?? there[0].seed;
    const actual = nearest(there.map((run) => run.seed), wanted, byDifference);
    return { one, run: there.find((run) => run.seed === actual), seed: wanted };
  }
  const asked = ({ one, run, seed }) => ({ dataset: one.dataset, block: one.kind, decay: one.decay, seed, blocks: run.blocks });

  function fromAddress() {
    const words = new URLSearchParams(location.hash.slice(1));
    const wish = (dataset, block, seed, blocks, decay) => resolve({ dataset, block, decay, seed: number(seed ?? "", 0), blocks: number(blocks ?? "", 1) });
    const picks = [wish(...["dataset", "block", "seed", "blocks", "decay"].map((name) => words.get(name)))];
    if (words.get("compare")) picks.push(wish(...words.get("compare").split(",")));
    return { measure: measures.includes(words.get("measure")) ? words.get("measure") : measures[0], picks };
  }
  function toAddress() {
    const [{ one, run }, other] = state.picks;
    const parts = [`dataset=${one.dataset}`, `block=${one.kind}`, `decay=${one.decay}`, `seed=${run.seed}`, `blocks=${run.blocks}`, `measure=${state.measure}`];
    if (other) parts.push(`compare=${[other.one.dataset, other.one.kind, other.run.seed, other.run.blocks, other.one.decay].join(",")}`);
    return `#${parts.join("&")}`;
  }
  function remember(push) {
    if (toAddress() !== location.hash) history[push ? "pushState" : "replaceState"](null, "", toAddress());
  }

  let state = fromAddress(), lastSlide = -Infinity;

  /** Take a change over. While a slider moves, the address follows but the way back has one entry. */
  function change(update, sliding = false) {
    state = { ...state, ...update };
    remember(!sliding || performance.now() - lastSlide > 1000);
    if (sliding) lastSlide = performance.now();
    render();
  }
  const choose = (index, wish) =>
    change({ picks: state.picks.map((pick, at) => (at === index ? resolve({ ...asked(pick), ...wish }) : pick)) }, "blocks" in wish);

  /* ---------- building blocks */

  const [say, status] = speaker();
  const short = (value) => (value == null ? "–" : charts.text(Number(value.toPrecision(3))));
  const fixed = (value) => charts.text(value.toFixed(2));
  const scientific = (value) => Number(value.toPrecision(3)).toExponential();
  function radios(name, legend, onchange) {
    const set = make("fieldset", { class: "explorer-radios" }, make("legend", {}, legend));
    return {
      set,
      show(options, chosen) {
        if (set.querySelectorAll("input").length !== options.length || options.some(([value]) => !set.querySelector(`[value="${CSS.escape(value)}"]`)))
          set.replaceChildren(set.firstChild, ...options.map(([value, words]) =>
            make("label", {}, make("input", { type: "radio", name, value, onchange: () => onchange(value) }), words)));
        for (const input of set.querySelectorAll("input")) input.checked = input.value === chosen;
      },
    };
  }
  function options(select, choices, chosen) {
    select.replaceChildren(...choices.map(([value, words, missing]) => make("option", { value, disabled: missing }, words)));
    select.value = chosen;
  }
  /** The weight decays of series that are alike otherwise, in a group for each length of training. */
  function decays(select, among, chosen) {
    const words = ({ weight, clock }) => (weight ? scientific(weight) : "none") + (clock == null ? "" : ` (T = ${short(clock)})`);
    const option = (one) => make("option", { value: one.decay }, words(one) + (one === among[0] && one.weight && one.clock != null ? ", usual" : ""));
    const group = (training) => among.filter((one) => one.training === training).sort((a, b) => a.weight - b.weight).map(option);
    select.replaceChildren(...unique(among.map((one) => one.training)).map((training) => make("optgroup", { label: training }, ...group(training))));
    select.value = chosen;
  }
  async function copy(button, words) {
    try {
      await navigator.clipboard.writeText(words);
    } catch {
      const field = make("textarea", { "aria-hidden": "true", class: "interactive-unseen" });
      field.value = words;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    const before = (button.dataset.words ??= button.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = before), 1500);
    say("Copied.");
  }

  /* ---------- one run: its controls, its numbers, its charts */

  function column(index) {
    const id = (name) => `explorer-${"ab"[index]}-${name}`;
    const dataset = make("select", { id: id("dataset"), onchange: () => choose(index, { dataset: dataset.value }) });
    const seed = make("select", { id: id("seed"), class: "explorer-seed", onchange: () => choose(index, { seed: Number(seed.value) }) });
    const decay = make("select", { id: id("decay"), onchange: () => choose(index, { decay: decay.value }) });
    const kind = radios(id("kind"), "Kind of block", (block) => choose(index, { block }));
    const depth = make("input", { type: "range", id: id("depth"), min: 0, step: 1,
      oninput: () => choose(index, { blocks: depthsOf(state.picks[index].one)[depth.value] }) });
    const blocks = make("strong", { "aria-hidden": "true" }); // said by aria-valuetext
    const ticks = make("div", { class: "explorer-ticks", "aria-hidden": "true" });
    const field = (words, input, ...more) => make("div", { class: "explorer-field" }, make("label", { for: input.id }, words), ...more, input);
    const legend = make("legend");
    const controls = make("fieldset", { class: "explorer-controls" }, legend, field("Data set", dataset), kind.set,
      make("div", { class: "explorer-field explorer-decay" }, make("label", { for: decay.id }, "Weight decay (T: time under it)"), decay), field("Seed", seed),
      make("div", { class: "explorer-field explorer-depth" }, make("label", { for: depth.id }, "Depth"), blocks, depth, ticks));

    const facts = make("dl", { class: "explorer-facts" });
    const fact = (words, value, more) => make("div", {}, make("dt", {}, words), make("dd", {}, make("b", {}, value), make("span", {}, more)));
    const chart = (title, name) => {
      const readout = make("p", { class: "explorer-readout", id: id(`${name}-readout`), "aria-live": "polite" });
      const host = make("div", { class: "explorer-chart", id: id(name), tabindex: 0, role: "application", "aria-roledescription": "chart", "aria-describedby": readout.id });
      const heading = make("p", { class: "explorer-title" }, title);
      return { heading, host, reader: charts.reader(host, readout), figure: make("div", { class: `explorer-figure explorer-${name}` }, heading, host, readout) };
    };
    const profile = chart("", "profile"), scaling = chart("", "scaling"), accuracy = chart("Test accuracy against depth", "accuracy");
    const code = make("code"), note = make("p", { class: "explorer-note" });
    const button = make("button", { type: "button", onclick: () => copy(button, code.textContent) }, "Copy command");
    const more = make("div", { class: "explorer-more" }, make("p", {}, "Run it again:"), make("pre", { tabindex: 0, "aria-label": "papermill command" }, code), make("p", {}, button));
    const origin = make("dl", { class: "explorer-origin" }), files = make("p"), rows = make("tbody");
    const heads = ["parameter", "this run", "default", "what it is"].map((words) => make("th", { scope: "col" }, words));
    more.append(make("details", {}, make("summary", {}, "Where this run comes from"), origin, files, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), rows)));
    const section = make("section", { class: "explorer-run" }, controls, note, facts, make("div", { class: "explorer-figures" }, profile.figure, scaling.figure, accuracy.figure), more);

    function render() {
      const { one, run } = state.picks[index], { measure } = state, both = state.picks.map((pick) => pick.one);
      const { name } = charts.MEASURES[measure], depths = depthsOf(one), comparing = state.picks.length > 1;
      const alike = alikeTo(one.dataset, one.kind);
      legend.textContent = comparing ? `Run ${"AB"[index]}` : "Run";
      section.setAttribute("aria-label", legend.textContent);
      options(dataset, unique(series.map((s) => s.dataset)).map((d) => [d, series.find((s) => s.dataset === d).data]), one.dataset);
      kind.show(unique(series.filter((s) => s.dataset === one.dataset).map((s) => s.kind)).map((k) => [k, series.find((s) => s.kind === k).title]), one.kind);
      decays(decay, alike, one.decay);
      const there = one.runs.filter((r) => r.blocks === run.blocks).map((r) => r.seed);
      options(seed, seedsOf(one).map((s) => [s, there.includes(s) ? s : `${s} (not at this depth)`, !there.includes(s)]), run.seed);
      seed.parentElement.hidden = run.network != null; // nobody wrote down theirs
      depth.max = depths.length - 1;
      depth.value = depths.indexOf(run.blocks);
      depth.setAttribute("aria-valuetext", charts.count(run.blocks));
      blocks.textContent = charts.count(run.blocks) + (run.network ? ` (${run.network})` : "");
      const spaced = depths.filter((d, index) => index % Math.ceil(depths.length / 12) === 0 || d === run.blocks);
      ticks.replaceChildren(...depths.map((d) => make("span", { class: d === run.blocks ? "explorer-here" : null }, spaced.includes(d) ? d : "")));

      const average = (moment) => run.averages[moment]?.[measure], law = one.laws[measure]?.end;
      const before = average("initialization") == null ? "not measured at initialisation" : `at initialisation ${short(average("initialization"))}`;
      facts.replaceChildren(
        fact(`average ${name} after training`, short(average("end")), before),
        fact("test accuracy", run.accuracy == null ? "diverged" : charts.percent(run.accuracy), one.training),
        ...(law ? [fact(law.bent ? "mean exponent; the points bend" : "exponent of the fitted line", fixed(law.exponent), `95 % interval ${fixed(law.low)} to ${fixed(law.high)}`)] : []),
      );
      note.hidden = !run.diverged && !run.stale;
      note.textContent = [run.diverged ? "This run diverged: it has no values after training." : "", run.stale ? "This record is stale: its sources have changed since it was made." : ""].join(" ").trim();
      profile.heading.textContent = `${name[0].toUpperCase()}${name.slice(1)} per block`;
      scaling.heading.textContent = `Average ${name} against depth`;
      const at = (blocks) => resolve({ ...asked(state.picks[index]), blocks }).run;
      const pick = (point) => choose(index, { blocks: point.run.blocks });
      const width = ({ host }) => Math.max(220, Math.floor(host.clientWidth));
      const others = othersOf(one);
      profile.reader.draw(...charts.profile(run, measure, both, width(profile)));
      scaling.reader.draw(...charts.scaling(one, run, measure, both, width(scaling), at, others), pick);
      accuracy.reader.draw(...charts.accuracy(one, run, both, width(accuracy), at), pick);
      code.textContent = run.command;
      origin.replaceChildren(...Object.entries(run.origin).flatMap(([words, value]) => [make("dt", {}, words), make("dd", {}, value)]));
      const to = (href, words) => make("a", { href }, words);
      files.replaceChildren("Files: ", ...run.files.flatMap((file) => [to(`results/${one.folder}/${run.name}/${file}`, file), ", "]), to(`runs.html#folder=${one.folder}`, "all runs of this folder"), ".");
      rows.replaceChildren(...[...run.parameters, ...one.parameters].map(([parameter, value, standard]) => make("tr", {}, make("th", { scope: "row" }, parameter),
        make("td", {}, value === standard ? value : make("strong", {}, `≠ ${value}`)), make("td", {}, standard), make("td", {}, meanings[parameter]))));
      const decayed = one.weight ? `weight decay ${scientific(one.weight)}` : "no weight decay";
      return `${one.data}, ${one.title}, ${decayed}, ${charts.count(run.blocks)}, ${run.network ?? `seed ${run.seed}`}: average ${name} ${short(average("end"))} ` +
        `after training, ${before}; ${run.accuracy == null ? "diverged" : `test accuracy ${charts.percent(run.accuracy)}`}.`;
    }
    return { section, render };
  }

  /* ---------- the whole: what both runs share, and drawing it again */

  const measure = radios("explorer-measure", "Measure", (value) => change({ measure: value }));
  const compare = make("input", { type: "checkbox", id: "explorer-compare", onchange: () => {
    const [first] = state.picks, depths = depthsOf(first.one);
    const other = first.run.blocks === depths[0] ? depths.at(-1) : depths[0]; // as far from the first as there are runs
    change({ picks: compare.checked ? [first, resolve({ ...asked(first), blocks: other })] : [first] });
  } });
  const link = make("button", { type: "button", onclick: () => { remember(false); copy(link, location.href); } }, "Copy link");
  const against = make("p", { class: "explorer-against" });
  const columns = make("div", { class: "explorer-columns" }), shown = [column(0), column(1)];
  const sample = (inner) => { const key = make("span", { class: "explorer-key", "aria-hidden": "true" }); key.innerHTML = `<svg width="30" height="12">${inner}</svg>`; return key; };
  const stroke = (colour, dash) => `<line x1="0" x2="30" y1="6" y2="6" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash ?? "none"}"/>`;
  const shapes = { square: (c) => `<rect x="11.5" y="2.5" width="7" height="7" fill="${c}"/>`, circle: (c) => `<circle cx="15" cy="6" r="4" fill="${c}"/>` };
  const key = make("ul", { class: "explorer-keys", "aria-label": "Key to the charts" },
    ...charts.MOMENTS.map(({ colour, dash, symbol, words }) => make("li", {}, sample(stroke(colour, dash) + shapes[symbol](colour)), words)),
    make("li", { class: "explorer-unsigned" }, sample('<rect width="30" height="12" fill="var(--explorer-end)" fill-opacity="0.25"/>'), "5th to 95th percentile over images"),
    make("li", {}, sample('<line x1="15" x2="15" y1="0" y2="12" stroke="currentColor" stroke-dasharray="1 3"/>'), "transition"),
    make("li", { class: "explorer-unsigned" }, sample(stroke("currentColor", "1 3")), "slope −1, as claimed"),
    make("li", { class: "explorer-unsigned explorer-others" }, sample('<line x1="0" x2="30" y1="6" y2="6" stroke="currentColor" stroke-opacity="0.45" stroke-width="2"/>'), "fitted lines at other weight decays"));
  home.append(make("div", { class: "explorer-bar" }, measure.set, make("label", { class: "explorer-switch", for: compare.id }, compare, "Compare two runs"), link), status, key, against, columns);

  /** How the second run compares with the first, in one line. */
  function comparison([{ run: a }, { run: b }]) {
    const of = (run) => run.averages.end?.[state.measure];
    const parts = [a.blocks === b.blocks ? "as many blocks" : `${short(b.blocks / a.blocks)} times the blocks`];
    if (of(a) > 0 && of(b) > 0 && !charts.MEASURES[state.measure].signed) parts.push(`${short(of(b) / of(a))} times the average after training`);
    if (a.accuracy != null && b.accuracy != null) parts.push(`test accuracy ${charts.percent(b.accuracy)} where A has ${charts.percent(a.accuracy)}`);
    return `Run B compared with run A: ${parts.join("; ")}.`;
  }

  function render() {
    measure.show(measures.map((name) => [name, name]), state.measure);
    for (const item of key.querySelectorAll(".explorer-unsigned")) item.hidden = charts.MEASURES[state.measure].signed;
    if (!state.picks.some(({ one }) => othersOf(one).length)) key.querySelector(".explorer-others").hidden = true;
    compare.checked = state.picks.length > 1;
    columns.classList.toggle("explorer-two", compare.checked);
    against.hidden = !compare.checked;
    against.textContent = compare.checked ? comparison(state.picks) : "";
    const wanted = shown.slice(0, state.picks.length);
    if (columns.children.length !== wanted.length) columns.replaceChildren(...wanted.map(({ section }) => section));
    say(wanted.map((one) => one.render()).join(" "));
  }
  const restore = () => {
    if (location.hash && !location.hash.includes("=")) return; // a heading of the page
    state = fromAddress();
    if (location.hash) remember(false);
    render();
  };

  home.hidden = false; // before anything is drawn: charts ask how wide they may be
  const still = document.getElementById("explorer-still");
  if (still) still.open = false;
  restore();
  if (!columns.children.length) render();
  addEventListener("popstate", restore);
  home.tabIndex = -1;
  for (const question of document.querySelectorAll('a[href^="#dataset="]')) // links of this page that choose a view
    question.addEventListener("click", () => setTimeout(() => { home.scrollIntoView(); home.focus({ preventScroll: true }); }));
  let drawn = home.clientWidth;
  new ResizeObserver(() => {
    if (home.clientWidth !== drawn) { drawn = home.clientWidth; requestAnimationFrame(render); }
  }).observe(home);
})();
