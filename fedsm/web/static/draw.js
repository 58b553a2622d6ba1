// Small pieces: elements, texts of times, and the drawings. Texts come from other members too: they are only
// ever set as text, never read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function seconds(ms) {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 23);
}

// --- the round machine: states in a column, the way forward straight down, back on the right, around on the left

const STATE = { width: 120, height: 34, gap: 40, x: 215 };

function stateY(position) {
  return 24 + position * (STATE.height + STATE.gap);
}

function edgePath(from, to) {
  const [a, b] = [stateY(from), stateY(to)];
  if (to === from + 1) {
    return { d: `M${STATE.x} ${a + STATE.height / 2}V${b - STATE.height / 2 - 2}`, x: STATE.x + 16, y: (a + b) / 2 };
  }
  const side = to < from ? 1 : -1;
  const span = Math.abs(to - from);
  const edge = STATE.x + (side * STATE.width) / 2;
  const bulge = edge + side * (22 + span * 21);
  const [start, end] = [a + (to < from ? -6 : 6), b + (to < from ? 6 : -6)];
  // A Bezier curve reaches three quarters of the way to its control points.
  const x = edge + (bulge - edge) * 0.75;
  return { d: `M${edge} ${start}C${bulge} ${start} ${bulge} ${end} ${edge + side * 2} ${end}`, x, y: (start + end) / 2 };
}

export function drawDiagram(root, diagram) {
  const places = new Map(diagram.states.map((state, position) => [state, position]));
  root.setAttribute("viewBox", `0 0 430 ${stateY(diagram.states.length - 1) + 30}`);
  const tip = (id, colour) =>
    svg("marker", { id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0 0L10 5L0 10z", fill: colour }));
  const parts = [svg("defs", {}, tip("tip", "var(--faint)"))];
  for (const { source, dest, triggers } of diagram.edges) {
    const { d, x, y } = edgePath(places.get(source), places.get(dest));
    parts.push(
      svg("g", { class: "edge untaken", "data-edge": `${source}>${dest}` }, svg("path", { d, "marker-end": "url(#tip)" }), svg("text", { x, y }, "0"), svg("title", {}, `${source} to ${dest}: ${triggers.join(", ")}`)),
    );
  }
  for (const [state, position] of places) {
    const y = stateY(position);
    parts.push(
      svg("g", { class: "state", "data-state": state }, svg("rect", { x: STATE.x - STATE.width / 2, y: y - STATE.height / 2, width: STATE.width, height: STATE.height, rx: 8 }), svg("text", { x: STATE.x, y }, state)),
    );
  }
  root.replaceChildren(...parts);
}

export function lightDiagram(root, status, before) {
  for (const group of root.querySelectorAll(".state")) {
    group.classList.toggle("now-on", group.dataset.state === status.state);
  }
  const last = new Map((before?.edges ?? []).map((edge) => [`${edge.source}>${edge.dest}`, edge.count]));
  const changed = status.edges.filter((edge) => before && edge.count !== (last.get(`${edge.source}>${edge.dest}`) ?? 0));
  const known = new Map(status.edges.map((edge) => [`${edge.source}>${edge.dest}`, edge]));
  for (const group of root.querySelectorAll(".edge")) {
    const edge = known.get(group.dataset.edge);
    group.classList.toggle("taken", Boolean(edge));
    group.classList.toggle("untaken", !edge);
    if (changed.length > 0) group.classList.toggle("last", changed.includes(edge));
    group.querySelector("text").textContent = edge ? edge.count : "0";
  }
  root.setAttribute("aria-label", `The round machine is in state ${status.state}`);
}

// --- the members

export function health(member) {
  if (!member.up) return "down";
  return member.troubles.length > 0 ? "trouble" : "up";
}

export function drawRing(root, status) {
  const count = status.peers.length;
  const [centre, radius, size] = [160, count > 9 ? 132 : 122, count > 9 ? 20 : 30];
  const parts = [];
  const place = (number) => {
    const angle = (2 * Math.PI * number) / count - Math.PI / 2;
    return [centre + radius * Math.cos(angle), centre + radius * Math.sin(angle)];
  };
  parts.push(
    svg("circle", { class: "band", cx: centre, cy: centre, r: radius }),
    svg("text", { class: "small", x: centre, y: centre - 24 }, "height"),
    svg("text", { class: "big", x: centre, y: centre }, status.height),
    svg("text", { class: "small", x: centre, y: centre + 24 }, `round ${status.round}`),
  );
  for (const member of status.peers) {
    const [x, y] = place(member.member);
    const state = health(member);
    const text = state === "down" ? "down" : member.state;
    parts.push(
      svg("g", { class: `node ${state} ${member.ours ? "ours" : ""}`, "data-member": member.member }, svg("circle", { cx: x, cy: y, r: size }), svg("text", { x, y: count > 9 ? y : y - 6, class: "number" }, member.member), svg("text", { x, y: y + 9, class: "small health" }, count > 9 ? "" : text === "CollectSigs" ? "Collect" : text), svg("title", {}, `member ${member.member}${member.ours ? " (we)" : ""}: ${text}`)),
    );
  }
  root.replaceChildren(...parts);
  const down = status.peers.filter((member) => !member.up).map((member) => member.member);
  root.setAttribute("aria-label", down.length > 0 ? `Members down: ${down.join(", ")}` : `All ${count} members are up`);
}

// --- the supply of an asset, in steps

export function units(satoshi) {
  return (satoshi / 1e8).toLocaleString("en", { maximumFractionDigits: 8 });
}

export function drawSupply(curve, height) {
  const [width, tall, left, top, bottom] = [480, 170, 8, 18, 24];
  const points = curve.points;
  const [first, last] = [points[0].height, Math.max(height, points.at(-1).height + 1)];
  const supplies = points.map((point) => point.supply);
  const [least, most] = [Math.min(...supplies), Math.max(...supplies)];
  const x = (value) => left + ((value - first) / (last - first)) * (width - 2 * left);
  const y = (value) => tall - bottom - ((value - least) / Math.max(1, most - least)) * (tall - top - bottom);
  const steps = points.map((point, i) => `${i === 0 ? "M" : "H"}${x(point.height).toFixed(1)} ${i === 0 ? "" : "V"}${y(point.supply).toFixed(1)}`);
  const marks = points.map((point) => svg("circle", { cx: x(point.height), cy: y(point.supply), r: 3, class: `mark ${point.kind}` }, svg("title", {}, `${point.kind} at height ${point.height}: ${units(point.supply)}`)));
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${tall}`, role: "img", class: "supply", "aria-label": `Supply from ${units(supplies[0])} at height ${first} to ${units(supplies.at(-1))}` },
    svg("line", { x1: left, x2: width - left, y1: tall - bottom + 6, y2: tall - bottom + 6, class: "axis" }),
    svg("path", { d: `${steps.join("")}H${x(last).toFixed(1)}`, class: "curve" }),
    ...marks,
    svg("text", { x: left, y: tall - 8, class: "small start" }, `height ${first}`),
    svg("text", { x: width - left, y: tall - 8, class: "small end" }, last),
    svg("text", { x: width - left, y: 8, class: "small end" }, units(supplies.at(-1))),
    svg("text", { x: left, y: 8, class: "small start" }, units(supplies[0])),
  );
}
