// What scrolls sideways inside itself can be scrolled by keyboard, and shows that it goes on.
(() => {
  const wide = "#main-content :is(table, pre, .run-index, .cell_output, div.math, div.math > mjx-container, .output_area)";
  const sign = element => element.classList.toggle("goes-on", element.scrollLeft + element.clientWidth < element.scrollWidth - 2);
  const reach = () => document.querySelectorAll(wide).forEach(element => {
    if (element.scrollWidth <= element.clientWidth || getComputedStyle(element).overflowX === "visible") return element.classList.remove("goes-on");
    element.tabIndex = 0;
    sign(element);
  });
  addEventListener("scroll", ({ target }) => { if (target.matches?.(wide)) sign(target); }, true);
  addEventListener("load", () => { reach(); window.MathJax?.startup?.promise?.then(reach); });
  addEventListener("resize", reach);
  addEventListener("toggle", reach, true);
  addEventListener("click", () => setTimeout(reach), true);
})();

// Names such as CIFAR-10, numbers such as 5e-4 and 95 %, and in tables all words with hyphens stay on one line; so does
// a link of a line of sources with the word before it.
document.addEventListener("DOMContentLoaded", () => {
  const home = document.querySelector("#main-content"), word = /(CIFAR-10|[\d.]+e-\d+|\d+ %)/, hyphened = /([^\s,;]+-[^\s,;]+)/;
  if (!home) return;
  const walker = document.createTreeWalker(home, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode, parent = text.parentElement, kept = parent.closest("table") ? hyphened : word;
    if (kept.test(text.data) && !parent.closest("pre, code, script, style, .interactive, .explorer, .math")) found.push([text, kept]);
    else if (parent.matches("p.sources")) text.data = text.data.replace(/: $/, ":\u00a0").replace(/^ · /, "\u00a0· ");
  }
  for (const [text, kept] of found)
    text.replaceWith(...text.data.split(kept).map((part, index) => {
      if (index % 2 === 0) return part;
      const whole = document.createElement("span");
      whole.className = "one-word";
      whole.textContent = part;
      return whole;
    }));
});

// The way home, in the sidebar, is found among the landmarks.
(() => {
  const home = document.querySelector(".bd-sidebar-primary .navbar-brand")?.parentElement;
  home?.setAttribute("role", "navigation");
  home?.setAttribute("aria-label", "Home");
})();

// The sidebar's arrows open what lies below a chapter, and say so to a screen reader.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".has-children > details > summary")) {
    const chapter = arrow.closest("li").querySelector("a").textContent.trim();
    arrow.setAttribute("aria-label", `Pages below ${chapter}`);
  }
});

// The list of references is a list of what its entries are, and those are no list items.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".citation-list[role=list]").forEach(list => list.removeAttribute("role"));
});
