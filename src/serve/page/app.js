// The page of loraxs: chat, two models side by side, several classifiers on one text, and how busy the server is.

const KEY = "loraxs-key";
const $ = (id) => document.getElementById(id);

function key() {
  return sessionStorage.getItem(KEY) || "";
}

function headers(more = {}) {
  return key() ? { ...more, authorization: `Bearer ${key()}` } : more;
}

/** An error that says what the server said. */
async function problemOf(reply) {
  let message = `The server answered ${reply.status}.`;
  try {
    message = (await reply.json()).error.message;
  } catch {
    // Not ours: a proxy's page.
  }
  const problem = new Error(message);
  problem.status = reply.status;
  return problem;
}

async function get(path) {
  const reply = await fetch(path, { headers: headers() });
  if (!reply.ok) throw await problemOf(reply);
  return reply.json();
}

async function post(path, body, signal) {
  const reply = await fetch(path, {
    method: "POST",
    headers: headers({ "content-type": "application/json" }),
    body: JSON.stringify(body),
    signal,
  });
  if (!reply.ok) throw await problemOf(reply);
  return reply;
}

/** The data of server-sent events, one after the other, up to [DONE]. */
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n").filter((line) => line.startsWith("data:"));
      text = text.slice(end + 2);
      if (lines.length === 0) continue;
      const data = lines.map((line) => line.slice(line.startsWith("data: ") ? 6 : 5)).join("\n");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

/** Streams an answer: `show` gets the text so far. Resolves to {text, model, tokens, cached, seconds, reason}. */
async function stream(request, signal, show) {
  const start = performance.now();
  const reply = await post("/v1/chat/completions", { ...request, stream: true, stream_options: { include_usage: true } }, signal);
  const answer = { text: "", model: request.model, tokens: 0, cached: 0, seconds: 0, reason: "" };
  for await (const event of events(reply)) {
    answer.model = event.model;
    const choice = event.choices[0];
    if (choice?.delta.content) {
      answer.text += choice.delta.content;
      show(answer.text);
    }
    if (choice?.finish_reason) answer.reason = choice.finish_reason;
    if (event.usage) {
      answer.tokens = event.usage.completion_tokens;
      answer.cached = event.usage.prompt_tokens_details?.cached_tokens ?? 0;
    }
  }
  answer.seconds = (performance.now() - start) / 1000;
  return answer;
}

function summary(answer) {
  const parts = [answer.model, `${answer.tokens} tokens`, `${(answer.tokens / Math.max(answer.seconds, 0.001)).toFixed(1)} tokens/s`];
  if (answer.cached > 0) parts.push(`${answer.cached} from the cache`);
  if (answer.reason === "length") parts.push("cut at the limit");
  return parts.join(" · ");
}

function tell(problem) {
  if (problem.name === "AbortError") return;
  $("problem").textContent = problem.status === 401 ? `${problem.message} Enter it above.` : problem.message;
  $("problem").hidden = false;
  if (problem.status === 401) $("key").focus();
}

function quiet() {
  $("problem").hidden = true;
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Tabs: arrows move between them, as WAI-ARIA's pattern says.
const tabs = [...document.querySelectorAll('[role="tab"]')];

function choose(tab, focus) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab, false));
  tab.addEventListener("keydown", (event) => {
    const seen = tabs.filter((other) => !other.hidden);
    const at = seen.indexOf(tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: seen.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(seen[(to + seen.length) % seen.length], true);
  });
}

// Chat.
let conversation = [];
let talking = null; // the AbortController of the answer under way

function addMessage(role, who) {
  const message = make("div", `message ${role}`);
  message.append(make("span", "who", who), make("div", "text"));
  $("chat-log").append(message);
  return message;
}

function toEnd() {
  const log = $("chat-log");
  log.scrollTop = log.scrollHeight;
}

function answering(on) {
  $("chat-send").textContent = on ? "Stop" : "Send";
  $("chat-send").classList.toggle("stop", on);
}

async function send() {
  const text = $("chat-text").value.trim();
  if (!text || talking) return;
  quiet();
  const system = $("chat-system").value.trim();
  conversation.push({ role: "user", content: text });
  addMessage("user", "You").querySelector(".text").textContent = text;
  $("chat-text").value = "";
  const model = $("chat-model").value.trim() || "base";
  const message = addMessage("assistant", model);
  const body = message.querySelector(".text");
  body.classList.add("waiting");
  toEnd();
  talking = new AbortController();
  answering(true);
  let soFar = "";
  try {
    const answer = await stream(
      {
        model,
        messages: system ? [{ role: "system", content: system }, ...conversation] : conversation,
        temperature: Number($("chat-temperature").value),
        max_tokens: Number($("chat-tokens").value),
      },
      talking.signal,
      (text) => {
        soFar = text;
        body.textContent = text;
        toEnd();
      },
    );
    message.append(make("p", "note meta", summary(answer)));
  } catch (problem) {
    if (problem.name === "AbortError") {
      message.append(make("p", "note meta", "stopped"));
    } else if (soFar) {
      message.append(make("p", "note meta", problem.message));
    } else {
      message.classList.add("failed");
      body.textContent = problem.message;
    }
    if (problem.status === 401) tell(problem);
  }
  if (soFar) {
    conversation.push({ role: "assistant", content: soFar });
  } else {
    conversation.pop(); // a question without an answer is not part of the conversation
  }
  body.classList.remove("waiting");
  talking = null;
  answering(false);
  toEnd();
}

$("chat-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (talking) talking.abort();
  else send();
});
$("chat-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && talking) talking.abort();
});
$("chat-settings").addEventListener("submit", (event) => event.preventDefault());
$("chat-new").addEventListener("click", () => {
  talking?.abort();
  conversation = [];
  $("chat-log").replaceChildren();
  $("chat-text").focus();
});

// Two models side by side.
let comparing = null;

async function compareOne(side, prompt, signal) {
  const out = $(`compare-${side}-out`);
  const meta = $(`compare-${side}-meta`);
  out.textContent = meta.textContent = "";
  out.classList.remove("failed");
  out.classList.add("waiting");
  try {
    const answer = await stream(
      {
        model: $(`compare-${side}`).value.trim() || "base",
        messages: [{ role: "user", content: prompt }],
        temperature: Number($("compare-temperature").value),
        max_tokens: Number($("compare-tokens").value),
      },
      signal,
      (text) => {
        out.textContent = text;
      },
    );
    meta.textContent = summary(answer);
  } catch (problem) {
    if (problem.name === "AbortError") {
      meta.textContent = "stopped";
    } else {
      out.classList.add("failed");
      out.textContent = problem.message;
    }
    if (problem.status === 401) tell(problem);
  }
  out.classList.remove("waiting");
}

$("compare-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (comparing) {
    comparing.abort();
    return;
  }
  const prompt = $("compare-text").value.trim();
  if (!prompt) {
    $("compare-text").focus();
    return;
  }
  quiet();
  comparing = new AbortController();
  $("compare-send").textContent = "Stop";
  $("compare-send").classList.add("stop");
  await Promise.all(["left", "right"].map((side) => compareOne(side, prompt, comparing.signal)));
  comparing = null;
  $("compare-send").textContent = "Ask both";
  $("compare-send").classList.remove("stop");
});

// Several classifiers on one text.
const chosen = new Set();
let classifiers = [];

function showClassifiers() {
  const part = $("classify-filter").value.trim().toLowerCase();
  const rows = classifiers.filter((model) => model.id.toLowerCase().includes(part)).map((model) => {
    const label = make("label");
    const box = make("input");
    box.type = "checkbox";
    box.value = model.id;
    box.checked = chosen.has(model.id);
    box.addEventListener("change", () => (box.checked ? chosen.add(model.id) : chosen.delete(model.id)));
    label.append(box, make("span", "", model.id), make("small", "", model.labels.join(", ") || model.task || ""));
    return label;
  });
  $("classify-models").replaceChildren(...(rows.length > 0 ? rows : [make("p", "note", "No classifier has this in its name.")]));
}

function bar(share) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, width] of [["track", 100], ["fill", Math.max(0, Math.min(1, share)) * 100]]) {
    const rect = document.createElementNS(space, "rect");
    rect.setAttribute("class", name);
    rect.setAttribute("width", String(width));
    rect.setAttribute("height", "8");
    svg.append(rect);
  }
  return svg;
}

function result(item) {
  const box = make("div", "result");
  const title = make("h3");
  title.append(make("span", "", item.model), make("span", "label", item.label ?? item.probs[0].toFixed(3)));
  box.append(title);
  if (item.label === null) return box; // a regression: its value stands in the title
  const table = make("table");
  item.probs.forEach((share, i) => {
    const name = item.labels[i] ?? `LABEL_${i}`;
    const row = make("tr", name === item.label ? "best" : "");
    const head = make("th", "", name);
    head.scope = "row";
    const cell = make("td");
    cell.append(bar(share));
    row.append(head, cell, make("td", "number", share.toFixed(3)));
    table.append(row);
  });
  box.append(table);
  return box;
}

$("classify-filter").addEventListener("input", showClassifiers);
$("classify-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  quiet();
  const text = $("classify-text").value;
  if (!text.trim() || chosen.size === 0) {
    (text.trim() ? $("classify-filter") : $("classify-text")).focus();
    return;
  }
  try {
    const reply = await (await post("/v1/classify", { model: [...chosen], input: text })).json();
    $("classify-out").replaceChildren(...reply.data.map(result));
  } catch (problem) {
    tell(problem);
  }
});

// The server's state, every two seconds while the page is seen.
const history = new Array(60).fill(0); // tokens/s, oldest first
let before = null;

function showLoad(load) {
  const now = { time: performance.now(), tokens: load.prompt_tokens + load.answer_tokens };
  const rate = before ? Math.max(0, ((now.tokens - before.tokens) * 1000) / (now.time - before.time)) : 0;
  before = now;
  history.push(rate);
  history.shift();
  const top = Math.max(...history, 1);
  const points = history.map((value, i) => `${i},${(19 - (value / top) * 18).toFixed(1)}`);
  $("rate-line").firstElementChild.setAttribute("points", points.join(" "));
  $("rate-tokens").textContent = String(Math.round(rate));
  $("rate-running").textContent = String(load.running);
  $("rate-waiting").textContent = String(load.waiting);
  $("rate-rows").textContent = `${load.resident_rows} of ${load.resident_capacity}`;
}

async function showState() {
  const state = await get("/v1/state");
  $("base").textContent = `${state.model} · ${state.precision}`;
  $("rates").hidden = !state.load;
  if (state.load) showLoad(state.load);
  return state;
}

function offer(models) {
  $("models").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  const other = models.find((model) => model.parent);
  if (other && !$("compare-right").value) $("compare-right").value = other.id;
  classifiers = models.filter((model) => model.labels?.length > 0 || model.task);
  for (const name of chosen) {
    if (!classifiers.some((model) => model.id === name)) chosen.delete(name);
  }
  showClassifiers();
}

async function open() {
  quiet();
  try {
    const state = await showState();
    for (const tab of tabs) tab.hidden = (tab.id === "tab-classify") === state.generates;
    if (tabs.find((tab) => tab.getAttribute("aria-selected") === "true").hidden) choose(tabs.find((tab) => !tab.hidden), false);
    offer((await get("/v1/models?limit=1000")).data);
  } catch (problem) {
    tell(problem);
  }
}

$("key").value = key();
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  open();
});
setInterval(() => {
  if (!document.hidden) showState().catch(() => ($("rates").hidden = true));
}, 2000);
open();
