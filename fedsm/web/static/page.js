// The operator's page: follows the daemon by server-sent events and draws what they say.

import { clock, drawDiagram, drawRing, drawSupply, el, health, lightDiagram, seconds, units } from "./draw.js";

const $ = (id) => document.getElementById(id);
const HEIGHTS = 50;
const LOST_MS = 4000;

let shown = null; // the status that is on the page
let heardAt = 0; // when it came
let chosen = null; // the height in the explorer; null follows the latest
let explored = ""; // what the explorer shows, to fetch it once
let cellsShown = "";

// --- colours

const THEMES = ["system", "light", "dark"];

function setTheme(name) {
  document.documentElement.toggleAttribute("data-theme", false);
  if (name !== "system") document.documentElement.dataset.theme = name;
  $("theme").textContent = `Colours: ${name}`;
  $("theme").setAttribute("aria-label", `Colours: ${name}. Change`);
  try {
    localStorage.setItem("theme", name);
  } catch {
    // a browser that keeps nothing still shows colours
  }
}

function storedTheme() {
  try {
    const name = localStorage.getItem("theme");
    return THEMES.includes(name) ? name : "system";
  } catch {
    return "system";
  }
}

$("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length]));
setTheme(storedTheme());

// --- the status

function show(status) {
  const before = shown;
  shown = status;
  heardAt = performance.now();
  badge("ready", status.ready ? "ready" : "not ready", status.ready ? "good" : "bad");
  badge("live", "live", "good");
  showAlarms(status);
  if (status.phase !== "running") {
    $("title").textContent = `Member ${status.member}`;
    $("subtitle").textContent = "waiting for its node";
    return;
  }
  const kind = `${status.threshold}-of-${status.members}`;
  document.title = `${status.ready ? "" : "! "}member ${status.member}, height ${status.height} - fedsm`;
  $("title").textContent = `Member ${status.member} of ${status.chain}`;
  $("subtitle").textContent = `${kind}, Q = ${status.quorum}, a block every ${status.interval_ms / 1000} s`;
  showNow();
  lightDiagram($("diagram"), status, before?.phase === "running" ? before : null);
  drawRing($("ring"), status);
  showMembers(status);
  showHeat(status);
  showReissuance(status);
  showNotices(status);
  showAbout(status);
  explore();
}

function badge(id, text, level) {
  const node = $(id);
  if (node.textContent !== text) node.textContent = text;
  node.className = `badge ${level}`;
}

function showNow() {
  if (!shown || shown.phase !== "running") return;
  // Between two events time goes on by our own clock.
  const now = shown.now_ms + performance.now() - heardAt;
  const ahead = shown.slot_ms - now;
  const slot = shown.state === "Idle" && ahead > 0 ? `, its slot opens in ${seconds(ahead)}` : "";
  const inside = shown.state === "Propose" ? ` (${shown.agreement})` : "";
  $("now").textContent = `Height ${shown.height}, round ${shown.round}: ${shown.state}${inside} for ${seconds(Math.max(0, now - shown.since_ms))}${slot}`;
}

function showAlarms(status) {
  const failed = status.checks.filter((check) => !check.ok).map((check) => ["bad", `${check.name}: ${check.detail}`]);
  const down = status.peers.filter((member) => !member.up).map((member) => ["warn", `member ${member.member} is ${member.silent_ms === null ? "not heard yet" : "not heard any more"}`]);
  const troubled = status.peers.filter((member) => member.up && member.troubles.length > 0).map((member) => ["warn", `member ${member.member}: ${member.troubles.join(", ").replaceAll("_", " ")}`]);
  const fresh = status.notices.filter((notice) => notice.level === "error" && status.now_ms - notice.at_ms < 600_000).slice(-3);
  const errors = fresh.map((notice) => ["bad", `${notice.event.replaceAll("_", " ")}, height ${notice.height}${notice.member === null ? "" : `, member ${notice.member}`}: ${notice.detail}`]);
  const all = [...failed, ...errors, ...down, ...troubled];
  $("alarms").hidden = all.length === 0;
  const lines = [...$("alarm-list").children].map((item) => item.textContent);
  // A list that is the same is not read out again.
  if (JSON.stringify(lines) !== JSON.stringify(all.map(([, text]) => text))) $("alarm-list").replaceChildren(...all.map(([level, text]) => el("li", { class: level }, text)));
}

function showMembers(status) {
  const links = new Map(status.links.filter((link) => link.member !== null).map((link) => [link.member, link]));
  const rows = status.peers.map((member) => {
    const link = links.get(member.member);
    const round = link && link.round_trip_ms !== null ? `${link.round_trip_ms.toFixed(1)} ms` : link ? (link.connected ? "up" : "down") : "";
    const cells = member.ours
      ? [member.state, member.height, "we", "", "", member.signed ?? ""]
      : [member.up ? member.state : "down", member.height || "", member.silent_ms === null ? "never" : `${seconds(member.silent_ms)} ago`, member.silent_ms === null ? "" : `${member.skew_ms > 0 ? "+" : ""}${member.skew_ms} ms`, round, member.signed ?? ""];
    return el("tr", { class: health(member), "data-member": member.member }, el("th", { scope: "row" }, member.member), ...cells.map((cell) => el("td", {}, cell)));
  });
  document.querySelector("#members tbody").replaceChildren(...rows);
}

// --- the heat map

function showHeat(status) {
  const blocks = status.blocks.slice(-HEIGHTS);
  const cells = JSON.stringify([blocks, chosen]);
  if (cells === cellsShown) return;
  cellsShown = cells;
  const focused = document.activeElement?.dataset?.height;
  const padding = Array.from({ length: Math.max(0, HEIGHTS - blocks.length) }, () => null);
  const columns = [...blocks, ...padding];
  const heads = columns.map((block) => {
    if (block === null) return el("td", {});
    const label = `Height ${block.height}, ${block.rounds > 1 ? `${block.rounds} rounds` : "one round"}, signed by ${block.signers.join(", ")}`;
    const button = el("button", { type: "button", "data-height": block.height, "aria-label": label, title: label, "aria-pressed": block.height === chosen, tabindex: -1 }, String(block.height).slice(-2));
    return el("th", { scope: "col", class: block.rounds > 1 ? "failed" : "" }, button);
  });
  $("heat").tHead.replaceChildren(el("tr", {}, el("th", { scope: "row" }, "height"), ...heads));
  const rows = status.peers.map((member) => {
    const marks = columns.map((block) => {
      if (block === null) return el("td", {});
      const kind = block.signers.includes(member.member) ? "signed" : block.voters.includes(member.member) ? "voted" : "absent";
      return el("td", {}, el("span", { class: kind, "data-height": block.height, "data-member": member.member, title: `member ${member.member}, height ${block.height}: ${kind === "absent" ? "not heard" : kind}` }));
    });
    return el("tr", {}, el("th", { scope: "row" }, `member ${member.member}`), ...marks);
  });
  $("heat").tBodies[0].replaceChildren(...rows);
  showLatency(columns);
  const buttons = [...$("heat").querySelectorAll("button")];
  const reachable = buttons.find((button) => button.dataset.height === focused) ?? buttons.find((button) => Number(button.dataset.height) === chosen) ?? buttons.at(-1);
  if (reachable) reachable.tabIndex = 0; // one stop of the Tab key; arrows move inside
  if (focused !== undefined) reachable?.focus();
}

function showLatency(columns) {
  const known = columns.filter((block) => block !== null && block.latency_ms !== null).map((block) => block.latency_ms);
  const [most, sorted] = [Math.max(1, ...known), [...known].sort((a, b) => a - b)];
  const bars = columns.map((block) => {
    if (block === null || block.latency_ms === null) return el("td", {});
    const bar = el("span", { class: `bar ${block.rounds > 1 ? "failed" : ""}`, "data-height": block.height, title: `height ${block.height}: ${block.latency_ms} ms after its slot` });
    bar.style.height = `${Math.max(1, (56 * Math.max(0, block.latency_ms)) / most)}px`;
    return el("td", {}, bar);
  });
  const middle = `${sorted[Math.floor(sorted.length / 2)] ?? 0} ms`;
  const head = el("th", { scope: "row", title: `median ${middle}, at most ${most} ms` }, `time (${middle})`);
  const scroll = $("heat-scroll");
  const first = $("heat").tFoot.childElementCount === 0;
  $("heat").tFoot.replaceChildren(el("tr", {}, head, ...bars));
  if (first) scroll.scrollLeft = scroll.scrollWidth; // the latest heights, on a narrow screen
}

$("heat").addEventListener("click", (event) => {
  const height = event.target.dataset.height;
  if (height !== undefined) choose(Number(height));
});

$("heat").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -HEIGHTS, End: HEIGHTS }[event.key];
  const buttons = [...$("heat").querySelectorAll("button")];
  const at = buttons.indexOf(event.target);
  if (step === undefined || at < 0) return;
  event.preventDefault();
  const to = buttons[Math.min(buttons.length - 1, Math.max(0, at + step))];
  buttons[at].tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
});

// --- the round explorer

function choose(height) {
  chosen = height;
  cellsShown = "";
  if (shown) showHeat(shown);
  explore();
}

function target() {
  return chosen ?? shown?.blocks.at(-1)?.height ?? null;
}

async function explore() {
  const height = target();
  if (height === null) return;
  if (document.activeElement !== $("height")) $("height").value = height;
  // A closed height changes once more, when late signatures have come in.
  const state = `${height} ${height >= shown.height - 2 ? `${shown.height} ${shown.round} ${shown.agreement}` : "closed"}`;
  if (state === explored) return;
  explored = state;
  try {
    const answer = await fetch(`heights/${height}.json`);
    if (target() !== height) return;
    if (!answer.ok) $("explorer").replaceChildren(el("p", { class: "why" }, `Height ${height} is not among the last ${HEIGHTS}.`));
    else showHeight(await answer.json());
  } catch {
    explored = ""; // the daemon is away; the next event tries again
  }
}

function showHeight(detail) {
  const zero = detail.slot_ms ?? detail.rounds[0]?.began_at_ms ?? 0;
  const after = (ms) => `${ms - zero >= 0 ? "+" : ""}${ms - zero} ms`;
  const table = (title, messages, why, blocks = true) =>
    el(
      "div",
      {},
      el("h3", {}, title),
      why ? el("p", { class: "why" }, why) : null,
      el("table", {}, el("thead", {}, el("tr", {}, ...["after slot", "message", "member", blocks && "block"].filter(Boolean).map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...messages.map((it) => el("tr", {}, el("td", {}, after(it.at_ms)), el("td", {}, it.kind), el("td", {}, it.member), blocks ? el("td", {}, el("code", {}, (it.hash ?? "nil").slice(0, 12))) : null)))),
    );
  const rounds = detail.rounds.map((round) => {
    const failed = round.failed_at_ms === null ? "" : `failed ${after(round.failed_at_ms)}`;
    const reason = detail.story.map((line) => line.trim()).find((line) => line.startsWith("The round failed"));
    return table(`Round ${round.round}, proposer ${round.proposer}`, round.messages, failed ? (detail.rounds.length === 1 && reason) || failed : "");
  });
  if (detail.signatures.length > 0) rounds.push(table("Signatures", detail.signatures, "", false));
  $("explorer").replaceChildren(el("p", { class: "story" }, detail.story.join("\n")), el("div", { class: "rounds" }, ...rounds));
}

$("explore").addEventListener("submit", (event) => {
  event.preventDefault();
  const height = Number($("height").value);
  if (Number.isInteger(height) && height > 0) choose(height);
});
$("older").addEventListener("click", () => target() !== null && choose(Math.max(1, target() - 1)));
$("newer").addEventListener("click", () => target() !== null && choose(Math.min(shown.height, target() + 1)));
$("latest").addEventListener("click", () => choose(null));

// --- reissuance

let supplyShown = "";

async function showReissuance(status) {
  const schedule = status.reissuance;
  $("reissuance").hidden = schedule === null;
  if (schedule === null) return;
  const next = (Math.floor((status.height - 1) / schedule.period) + 1) * schedule.period;
  const states = schedule.assets.map((it) => `${it.asset.slice(0, 10)}.. ${it.state}${it.due_height === schedule.due_height ? "" : ` (of height ${it.due_height})`}`);
  const present = schedule.due_height === 0 ? "No period has begun yet" : `Period of height ${schedule.due_height}: ${states.join(", ") || "nothing is due"}`;
  $("reissuance-now").textContent = `${present}. Next at height ${next}, every ${schedule.period} blocks.`;
  const wanted = JSON.stringify([schedule, Math.floor(status.height / 5)]);
  if (wanted === supplyShown) return;
  supplyShown = wanted;
  try {
    const curves = await (await fetch("supply.json")).json();
    $("curves").replaceChildren(...curves.map((curve) => el("div", {}, el("h3", {}, el("code", {}, `${curve.asset.slice(0, 16)}..`)), curve.is_known ? drawSupply(curve, status.height) : el("p", {}, "A part of its supply is hidden."), curve.is_known ? changesOf(curve) : null)));
  } catch {
    supplyShown = ""; // the daemon is away; the next event tries again
  }
}

function changesOf(curve) {
  const rows = curve.points.slice(-5).reverse().map((point) => el("tr", {}, el("td", {}, point.height), el("td", {}, point.kind), el("td", {}, units(point.supply))));
  return el("table", {}, el("thead", {}, el("tr", {}, ...["height", "change", "supply after"].map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows));
}

// --- the rest

function showNotices(status) {
  const rows = [...status.notices].reverse().map((notice) => el("tr", { class: notice.level }, ...[clock(notice.at_ms), notice.event, `${notice.height}/${notice.round}`, notice.member ?? "", notice.detail].map((cell) => el("td", {}, cell))));
  const body = document.querySelector("#notices tbody");
  if (body.childElementCount !== rows.length || body.firstChild?.textContent !== rows[0]?.textContent) body.replaceChildren(...rows);
}

function showAbout(status) {
  const facts = {
    version: status.version,
    genesis: status.genesis,
    "block-signing key": status.public_key,
    "federation file": status.federation || "none",
    tip: status.tip,
    "messages refused": Object.entries(status.refused).map(([reason, count]) => `${reason} ${count}`).join(", ") || "none",
    "running since": new Date(status.started_at_ms).toISOString(),
  };
  const parts = Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, el("code", {}, value))]);
  if ($("about").textContent !== parts.map((part) => part.textContent).join("")) $("about").replaceChildren(...parts);
}

// --- events

function listen() {
  const source = new EventSource("events");
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

setInterval(() => {
  if (heardAt > 0 && performance.now() - heardAt > LOST_MS) {
    badge("live", "no answer", "bad");
    badge("ready", "unknown", "warn");
  } else {
    showNow();
  }
}, 250);

fetch("diagram.json")
  .then((answer) => answer.json())
  .then((diagram) => {
    drawDiagram($("diagram"), diagram);
    listen();
  })
  .catch(() => location.reload());
