"use strict";
// The page. Every text from the server is set as text, never as HTML.

const PAGE = 25;
const state = { role: "viewer", offset: 0, limit: null, follow: 0 };
const $ = (id) => document.getElementById(id);
const MAY = { submitter: ["submitter", "admin"], approver: ["approver", "admin"], operator: ["operator", "admin"] };
const may = (role) => MAY[role].includes(state.role);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = visible(text);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Characters that change the direction of a text, or that cannot be seen, are shown as their codes.
function visible(text) {
  const shown = String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return shown.length > 600 ? `${shown.slice(0, 600)}... (${shown.length} characters)` : shown;
}

function button(label, act, role, name) {
  const made = element("button", label, { type: "button", "aria-label": name || label });
  made.disabled = !may(role);
  if (made.disabled) made.title = `needs a token for a ${role}`;
  made.addEventListener("click", async () => {
    made.disabled = true;
    tell("");
    try { await act(); } catch { /* said already */ } finally { made.disabled = !may(role); await refresh(); }
  });
  return made;
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (options.body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json();
  if (!answer.ok) { const said = body.error ? body.error.message : answer.statusText; tell(said); throw new Error(said); }
  return body;
}

const post = (path, body) => call(path, { method: "POST", body: body ? JSON.stringify(body) : undefined });
const tell = (text) => { $("problem").textContent = visible(text); };
const time = (s) => (s ? new Date(s * 1000).toLocaleString() : "");
const number = (value, digits = 4) => (value === null || value === undefined ? "-" : value.toFixed(digits));

function showState(body) {
  if (body.problem) { $("now").textContent = visible(body.problem); return; }
  state.limit = body.limit;
  const waiting = body.waiting ? `${body.waiting} messages wait to be decided` : "";
  const doing = body.now ? `${body.now.what}, since ${time(body.now.since_s)}` : "";
  $("now").textContent = [doing, waiting].filter(Boolean).join("; ") || "idle: nothing waits";
  const over = body.limit && body.perplexity_ratio > body.limit;
  const tiles = [
    ["Epoch", body.epoch ?? "-"], ["Last good", body.last_good ?? "-"],
    ["Perplexity ratio", number(body.perplexity_ratio), over ? "bad" : "good"],
    ["Facts in memory", body.facts.memory ?? 0], ["Facts in the weights", body.facts.weights ?? 0],
    ["Kept out of the weights", body.kept_in_memory], ["Wait for the weights", body.waiting_for_weights],
    ["Held", body.held, body.held ? "warn" : ""], ["Dead letters", body.dead_letters, body.dead_letters ? "warn" : ""],
    ["Rollbacks", Object.values(body.rollbacks).reduce((a, b) => a + b, 0)],
  ];
  $("state").replaceChildren(...tiles.map(([name, value, kind]) => {
    const tile = element("div");
    tile.append(element("dt", name), element("dd", value, kind ? { class: kind } : {}));
    return tile;
  }));
}

// A table with a caption; a narrow screen shows the head of a column beside each cell.
function table(caption, head, rows) {
  const made = element("table"), top = element("thead"), body = element("tbody");
  top.append(row(head, "th"));
  body.append(...rows.map((cells) => {
    const one = row(cells);
    head.forEach((name, n) => one.children[n].setAttribute("data-head", name));
    return one;
  }));
  made.append(element("caption", caption), top, body);
  const scroll = element("div", null, { class: "scroll" });
  scroll.append(made);
  return scroll;
}

const short = (value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value ?? "-");

function row(cells, kind = "td") {
  const made = element("tr");
  made.append(...cells.map((cell) => {
    const at = element(kind, cell instanceof Node ? null : cell, kind === "th" ? { scope: "col" } : {});
    if (cell instanceof Node) at.append(cell);
    return at;
  }));
  return made;
}

function group(...parts) {
  const made = element("span");
  for (const part of parts) made.append(part, " ");
  return made;
}

async function showFacts() {
  const search = encodeURIComponent($("search").value);
  const body = await call(`/v1/facts?limit=${PAGE}&offset=${state.offset}&search=${search}`);
  const last = Math.min(body.total, state.offset + PAGE);
  $("facts-count").textContent = body.total ? `${state.offset + 1} to ${last} of ${body.total}` : "none";
  $("newer").disabled = state.offset === 0;
  $("older").disabled = last >= body.total;
  $("facts").replaceChildren(...body.facts.map((fact) => row([
    `${fact.prompt} ${fact.target}`, fact.placement + (fact.method ? ` (${fact.method})` : ""), fact.correction,
    group(button("Why", () => showFact(fact.id), "viewer", `Why ${fact.prompt} ${fact.target}`),
      button("Undo", () => post(`/v1/facts/${encodeURIComponent(fact.id)}/undo`), "operator", `Undo ${fact.prompt} ${fact.target}`)),
  ])));
}
MAY.viewer = ["viewer", "submitter", "approver", "operator", "admin"];

async function showFact(id) {
  const [detail, told] = await Promise.all([
    call(`/v1/facts/${encodeURIComponent(id)}`), call(`/v1/explain/${encodeURIComponent(id)}`)]);
  const fact = detail.facts[0], box = $("fact");
  box.hidden = false;
  const why = fact.kept_in_memory ? `Stays in memory: ${fact.kept_in_memory}` : fact.reason || "";
  box.replaceChildren(element("h3", `${fact.prompt} ${fact.target}`),
    element("p", `Fact ${fact.id}, version ${fact.version}, rule ${fact.rule || "-"}. ${why}`), steps(told.story));
}

function steps(story) {
  const list = element("ol");
  list.append(...story.map((one) => element("li", `${time(one.at_s)} ${one.step}: ${one.text}`)));
  return list;
}

async function showHeld() {
  const body = await call("/v1/held");
  $("held-section").hidden = !body.held.length;
  $("held").replaceChildren(...body.held.map((one) => {
    const id = encodeURIComponent(one.correction), question = (one.prompt || "").replace("{}", () => one.subject || "");
    const says = group(`${visible(question)} ${visible(one.target)}`, ...content(one).map((part) => element("div", part, { class: "soft" })));
    return row([one.correction, says, one.source, `${one.reason}${approvals(one)}`, group(
      button("Approve", () => post(`/v1/held/${id}/approve`, { content_sha256: one.content_sha256 }), "approver", `Approve ${one.correction}`),
      button("Reject", () => post(`/v1/held/${id}/reject`), "approver", `Reject ${one.correction}`))]);
  }));
}

// All that an approval is for, besides the question and the answer.
function content(one) {
  if (!one.op) return [];  // this version cannot read it
  const parts = [one.op, `subject ${one.subject}`, `tenant ${one.tenant}`];
  parts.push(...one.aliases.map((name) => `also called: ${name}`));
  if (one.relation) parts.push(`relation ${one.relation}`);
  parts.push(...one.paraphrases.map((text) => `also asked as: ${text}`));
  if (one.valid_from_s !== null) parts.push(`valid from ${time(one.valid_from_s)}`);
  if (one.valid_until_s !== null) parts.push(`valid until ${time(one.valid_until_s)}`);
  if (one.tags.length) parts.push(`tags ${one.tags.join(", ")}`);
  return parts;
}

function approvals(one) {
  if (one.approvals_needed === 1 && !one.approvers.length) return "";
  const by = one.approved_by.length ? ` (by ${one.approved_by.join(", ")})` : "";
  const from = one.approvers.length ? `, of ${one.approvers.join(", ")}` : "";
  const until = one.approvals_expire_at_s ? `, expires ${time(one.approvals_expire_at_s)}` : "";
  return `; ${one.approved_by.length} of ${one.approvals_needed} approved${by}${from}${until}`;
}

async function showDead() {
  const body = await call("/v1/dead-letters");
  $("dead-section").hidden = !body.dead_letters.length;
  $("dead").replaceChildren(...body.dead_letters.map((one) => row([one.number, `${one.reason}: ${one.message}`, one.raw, group(
    button("Retry", () => post(`/v1/dead-letters/${one.number}/retry`), "operator", `Retry ${one.number}`),
    button("Drop", () => post(`/v1/dead-letters/${one.number}/drop`), "operator", `Drop ${one.number}`))])));
}

async function refresh() {
  await Promise.allSettled([showEpochs(), showFacts(), showHeld(), showDead()]);
}

async function login() {
  try {
    const who = await call("/v1/whoami");
    state.role = who.role;
    $("who").textContent = who.name === "anyone" ? "reading only" : `${who.name}, ${who.role}`;
  } catch {
    sessionStorage.removeItem("token");
    state.role = "viewer";
    $("who").textContent = "reading only";
  }
  $("submit").querySelector("button").disabled = !may("submitter");
  await refresh();
}

async function follow(id) {
  const mine = ++state.follow;
  for (let n = 0; n < 600 && mine === state.follow; n++) {
    try {
      const told = await call(`/v1/explain/${encodeURIComponent(id)}`);
      $("story").replaceChildren(...steps(told.story).children);
      const settled = told.story.some((one) => one.step === "remembered" || one.step === "decided");
      if (settled && n > 20) return;
    } catch { /* it is not recorded yet */ }
    await new Promise((done) => setTimeout(done, 500));
  }
}

async function listen() {
  // fetch, because EventSource cannot send a token.
  for (;;) {
    try {
      const token = sessionStorage.getItem("token");
      const answer = await fetch("/v1/events", token ? { headers: { Authorization: `Bearer ${token}` } } : {});
      if (!answer.ok) {
        $("now").textContent = "log in to see the state";
        await new Promise((done) => setTimeout(done, 2000));
        continue;
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "", epoch = null;
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const body = JSON.parse(part.replace(/^data: /, ""));
          showState(body);
          const seen = JSON.stringify([body.epoch, body.held, body.approvals, body.dead_letters, body.trials, body.limit]);
          if (seen !== epoch) { epoch = seen; await refresh(); }
        }
      }
    } catch { /* the server is away: try again */ }
    $("now").textContent = "the server is away";
    await new Promise((done) => setTimeout(done, 2000));
  }
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  $("token").value = "";
  if (token) sessionStorage.setItem("token", token); else sessionStorage.removeItem("token");
  login();
});
$("search").addEventListener("input", () => { state.offset = 0; showFacts(); });
$("newer").addEventListener("click", () => { state.offset = Math.max(0, state.offset - PAGE); showFacts(); });
$("older").addEventListener("click", () => { state.offset += PAGE; showFacts(); });
$("submit").addEventListener("submit", async (event) => {
  event.preventDefault();
  tell("");
  const body = { subject: $("subject").value, prompt: $("prompt").value, target_new: $("target").value };
  try {
    const said = await post("/v1/corrections", body);
    $("submitted").textContent = visible(`Submitted as ${said.corrections[0]}.`);
    follow(said.corrections[0]);
  } catch (error) { $("submitted").textContent = visible(error.message); }
});
// After all scripts: this one uses the others.
document.addEventListener("DOMContentLoaded", () => { login(); listen(); });
