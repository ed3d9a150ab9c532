/* What the interactive pictures share: elements, axes, a slider with its value, words for a screen reader.

   Classic scripts without requests, so that the pages also work from a disk. */
"use strict";

window.resperturbInteractive = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value != null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }
  const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /** A map from numbers to pixels, of their logarithms if wanted. */
  function scale([low, high], [from, to], logarithmic = false) {
    const of = logarithmic ? Math.log : Number;
    return (value) => from + ((of(value) - of(low)) / (of(high) - of(low))) * (to - from);
  }

  /** Lines and numbers of two axes: `x` and `y` are {at: scale, ticks, label, words: tick to text}. */
  function axes(x, y, { left, right, top, bottom }) {
    const parts = [];
    for (const tick of y.ticks)
      parts.push(draw("line", { x1: left, x2: right, y1: y.at(tick), y2: y.at(tick), class: "interactive-grid" }),
        draw("text", { x: left - 6, y: y.at(tick), dy: "0.35em", "text-anchor": "end" }, y.words?.(tick) ?? String(tick)));
    for (const tick of x.ticks)
      parts.push(draw("line", { x1: x.at(tick), x2: x.at(tick), y1: bottom, y2: bottom + 4, class: "interactive-axis" }),
        draw("text", { x: x.at(tick), y: bottom + 17, "text-anchor": "middle" }, x.words?.(tick) ?? String(tick)));
    return draw("g", {}, ...parts,
      draw("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "interactive-axis" }),
      draw("text", { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, x.label),
      draw("text", { x: left - 34, y: top - 10 }, y.label));
  }

  /** The path of a line through points. */
  const line = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");

  /** A slider with its label, and its value in words beside it. */
  function slider(id, label, attributes, onchange) {
    const value = make("strong", { "aria-hidden": "true" }); // said by aria-valuetext
    const input = make("input", { type: "range", id, ...attributes, oninput: () => onchange(Number(input.value)) });
    const field = make("div", { class: "interactive-field" }, make("label", { for: id }, label), value, input);
    return {
      input,
      field,
      show(number, words) {
        input.value = number;
        input.setAttribute("aria-valuetext", words);
        value.textContent = words;
      },
    };
  }

  /** A function that says words to a screen reader, once what they describe has come to rest, and where they stand. */
  function speaker() {
    const status = make("p", { class: "interactive-unseen", role: "status" });
    let saying;
    const say = (words) => {
      clearTimeout(saying);
      saying = setTimeout(() => (status.textContent = words), 400);
    };
    return [say, status];
  }

  const minus = (words) => words.replace("-", "−");

  return { make, draw, scale, axes, line, slider, speaker, minus };
})();
