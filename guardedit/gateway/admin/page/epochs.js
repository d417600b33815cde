"use strict";
// What a mark of the chart opens: an epoch, or trials that were not accepted.

async function showEpochs() {
  const data = await call("/v1/epochs?limit=300");
  drawChart($("chart"), data, state.limit, showEpoch, showTrials);
  offerEpochs(data);
}

async function showEpoch(n) {
  const one = await call(`/v1/epochs/${n}`);
  const box = $("epoch");
  box.hidden = false;
  box.replaceChildren(element("h3", `Epoch ${one.epoch}: ${one.kind}`),
    element("p", `${time(one.at_s)}, ${one.facts} facts, ${one.edits} edits. ${one.reason}`));
  if (one.verdict) box.append(...gateTables(one.verdict.gates));
  if (one.changed.length) {
    box.append(element("p", `Changed: ${statements(one.changed)}`));
  }
  box.append(button("Roll back to this epoch", async () => {
    if (confirm(`Serve the weights of epoch ${n} again? No fact is lost.`)) await post(`/v1/epochs/${n}/rollback`);
  }, "operator"));
}

// Trials between two epochs that were not accepted: the only one at once, else a list to choose from.
async function showTrials(trials) {
  if (trials.length === 1) return showTrial(trials[0].trial);
  const box = $("epoch");
  box.hidden = false;
  box.replaceChildren(element("h3", `${trials.length} trials that were not accepted`),
    table("The latest first", ["Time", "Edits", "Outcome", "Reason", ""], [...trials].reverse().map((one) => [
      time(one.at_s), one.edits, one.outcome, one.reason,
      button("Show", () => showTrial(one.trial), "viewer", `Show trial ${one.trial}`)])));
}

async function showTrial(n) {
  const one = await call(`/v1/trials/${n}`);
  const box = $("epoch");
  box.hidden = false;
  box.replaceChildren(element("h3", `Trial ${one.trial}: ${one.outcome}`),
    element("p", `${time(one.at_s)}, ${one.edits} edits. ${one.reason}`));
  if (one.facts.length) box.append(element("p", `Facts on trial: ${statements(one.facts)}`));
  box.append(...gateTables(one.verdict.gates));
}

const statements = (facts) => facts.slice(0, 20).map((fact) => `${fact.prompt} ${fact.target}`).join("; ")
  + (facts.length > 20 ? `; and ${facts.length - 20} more` : "");

function gateTables(gates) {
  const rows = gates.map((gate) => [gate.name, short(gate.value), short(gate.limit), gate.outcome, gate.detail || ""]);
  return [table("Gates of the trial", ["Gate", "Value", "Limit", "Outcome", "Reason"], rows), ...lostAnswers(gates)];
}

// The very questions whose answers a trial has changed for the worse. Old records do not have them.
function lostAnswers(gates) {
  const lost = gates.flatMap((gate) => (gate.lost || []).map((one) => [gate.name, one.question, one.expected, one.answer]));
  if (!lost.length) return gates.some((gate) => gate.lost) ? [element("p", "No answer was lost.")] : [];
  return [table("Answers that were lost", ["Gate", "Question", "Expected", "Answer now"], lost)];
}
