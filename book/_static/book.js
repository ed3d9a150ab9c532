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
