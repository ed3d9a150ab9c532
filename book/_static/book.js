// What scrolls sideways inside itself can be scrolled by keyboard.
(() => {
  const wide = "#main-content :is(table, pre, .cell_output, div.math, .output_area)";
  const reach = () => document.querySelectorAll(wide).forEach(element => {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
  });
  addEventListener("load", () => { reach(); window.MathJax?.startup?.promise?.then(reach); });
  addEventListener("resize", reach);
  addEventListener("toggle", reach, true);
  addEventListener("click", () => setTimeout(reach), true);
})();
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
