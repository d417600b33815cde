"use strict";
// The playground: two epochs answer one question side by side, each piece as it comes.

const SIDES = [$("side-a"), $("side-b")];
const asking = { stop: null };

// The epochs to choose from, in the order of their numbers; what is chosen stays chosen.
function offerEpochs(data) {
  const numbers = data.epochs.map((one) => [String(one.epoch), `${one.epoch}: ${one.kind}`]).reverse();
  const names = [["serving", "serving"], ["base", "base model"], ["last-good", "last good"], ...numbers];
  SIDES.forEach((side, n) => {
    const chooser = side.querySelector("select");
    const chosen = chooser.value || ["base", "serving"][n];
    if (chooser.length === names.length && chooser.lastChild.value === names.at(-1)[0]) return;
    chooser.replaceChildren(...names.map(([value, text]) => element("option", text, { value })));
    chooser.value = names.some(([value]) => value === chosen) ? chosen : "serving";
  });
}

// Server-sent events of an answer, one object each.
async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part.replace(/^data: /, ""));
  }
}

function whence(start) {
  const facts = start.facts.map((fact) =>
    `fact ${fact.id} (${fact.target}), in ${fact.placement === "weights" ? "the weights" : "memory"}: ${fact.reason}`);
  return `Epoch ${start.epoch}, ${!start.memory ? "memory off" : facts.join("; ") || "no fact"}`;
}

async function askSide(side, question, stop) {
  const from = side.querySelector(".from"), said = side.querySelector(".said");
  from.textContent = "asking";
  said.replaceChildren();
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({
    question, epoch: side.querySelector("select").value, memory: side.querySelector("[name=memory]").checked });
  let text = "", ended = false;
  try {
    const answer = await fetch("/v1/playground", { method: "POST", headers, body, signal: stop });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    for await (const event of eventsOf(answer)) {
      if (event.event === "start") from.textContent = visible(whence(event));
      if (event.event === "text") { text += event.text; said.textContent = visible(text); }
      if (event.event === "error") throw new Error(event.message);
      ended = ended || event.event === "end";
    }
    if (!ended) throw new Error("the answer was cut off");
    if (!text.trim()) said.replaceChildren(element("em", "an empty answer"));
    return text;
  } catch (error) {
    if (!stop.aborted) from.replaceChildren(element("span", error.message, { class: "bad" }));
    return null;
  }
}

// For each word whether the other list has it too, in the same order: the longest common subsequence.
function commonWords(a, b) {
  const long = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      long[i][j] = a[i] === b[j] ? long[i + 1][j + 1] + 1 : Math.max(long[i + 1][j], long[i][j + 1]);
    }
  }
  const common = [a.map(() => false), b.map(() => false)];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) common[0][i++] = common[1][j++] = true;
    else if (long[i + 1][j] >= long[i][j + 1]) i++;
    else j++;
  }
  return common;
}

function showDifferences(texts) {
  const words = texts.map((text) => visible(text.trim()).split(/\s+/).filter(Boolean));
  const common = commonWords(...words);
  const differ = common.map((one) => one.filter((same) => !same).length);
  SIDES.forEach((side, n) => {
    if (!words[n].length) return;
    const parts = words[n].flatMap((word, at) => [at ? " " : "", common[n][at] ? word : element("mark", word)]);
    side.querySelector(".said").replaceChildren(...parts);
  });
  $("compared").textContent = differ[0] + differ[1] === 0 ? "A and B say the same."
    : `A and B differ: ${differ[0]} of ${words[0].length} words of A and ${differ[1]} of ${words[1].length} of B are marked.`;
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  tell("");
  if (asking.stop) asking.stop.abort();
  const stop = new AbortController(), question = $("question").value;
  asking.stop = stop;
  $("compared").textContent = "";
  const texts = await Promise.all(SIDES.map((side) => askSide(side, question, stop.signal)));
  if (asking.stop === stop && texts.every((text) => text !== null)) showDifferences(texts);
});
