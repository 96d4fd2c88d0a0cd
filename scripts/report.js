const specs = JSON.parse(document.getElementById("specs").textContent);
const tabs = [...document.querySelectorAll("[role=tab]")];
const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

// Colours are variables of the page, so a theme needs no second drawing.
const font = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const config = {
  background: null,
  font,
  view: { stroke: null },
  axis: {
    labelColor: "var(--soft)", titleColor: "var(--soft)", titleFontWeight: 500,
    gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)",
    labelFontSize: 11, labelSeparation: 6, titleFontSize: 11, tickSize: 4,
  },
  axisDiscrete: { grid: false, ticks: false },
  scale: { bandPaddingInner: 0.1 },
  text: { fontSize: 11 },
  legend: { disable: true },
};

async function draw(panel) {
  if (panel.dataset.drawing) return;
  panel.dataset.drawing = "yes";
  await Promise.all([...panel.querySelectorAll(".vis")].map(async (place) => {
    const spec = specs[place.id.slice(2)];
    // ast: expressions are interpreted, so that the page allows no eval
    await window.vegaEmbed(place, spec, {
      actions: false, renderer: "svg", ast: true, config, mode: "vega-lite",
    });
    const svg = place.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", spec.description);
    svg.querySelector("g").setAttribute("aria-hidden", "true");
  }));
  panel.dataset.ready = "yes";
}

function open(tab, focus = false) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    panelOf(each).classList.toggle("away", !chosen);
  }
  if (focus) tab.focus();
  return draw(panelOf(tab));
}

const wanted = () => tabs.find((tab) => `#${tab.id.slice(2)}` === location.hash) ?? tabs[0];

function go(tab) {
  history.replaceState(null, "", `#${tab.id.slice(2)}`);
  open(tab, true);
}

tabs.forEach((tab, at) => {
  tab.addEventListener("click", () => go(tab));
  tab.addEventListener("keydown", (event) => {
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(tabs[to % tabs.length]);
  });
});
window.addEventListener("hashchange", () => open(wanted()));

// What a word means, where it stands.
const tip = document.getElementById("tip");
function explain(term) {
  tip.textContent = document.getElementById(term.getAttribute("aria-describedby")).textContent;
  tip.hidden = false;
  const at = term.getBoundingClientRect(), box = tip.getBoundingClientRect();
  const left = Math.min(at.left, document.documentElement.clientWidth - box.width - 8);
  const above = at.top - box.height - 6;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 4 ? above : at.bottom + 6}px`;
}
const hush = () => { tip.hidden = true; };
for (const term of document.querySelectorAll(".term")) {
  for (const event of ["mouseenter", "focus", "click"]) {
    term.addEventListener(event, () => explain(term));
  }
  for (const event of ["mouseleave", "blur"]) term.addEventListener(event, hush);
}
document.addEventListener("keydown", (event) => event.key === "Escape" && hush());
document.addEventListener("scroll", hush, { passive: true });

// A print has every tab: the rest is drawn once the first stands.
await open(wanted());
for (const tab of tabs) await draw(panelOf(tab));
