// The page's forms, links and results. Python runs in worker.js; its text is only ever inserted as text.

"use strict";

const version = document.body.dataset.version;
const recipes = JSON.parse(document.getElementById("recipes").textContent);
const announced = document.getElementById("state-text");
const FIRST = "#solve?steps=1M&batch=256x512&corpus=3.3B+words&tokens-per-word=1";
const CODES = { 1: "exit code 1: the numbers do not add up", 2: "exit code 2: the input is wrong" };
const TILES = 5; // in a row
const LONG = 100; // characters of a line
const PATIENCE = 1500; // milliseconds after which a command can be stopped
const LOADING = 20000; // milliseconds after which loading is called slow

// ---- Python ----

let worker, waiting, isReady;

function startPython() {
  isReady = false;
  waiting = new Map();
  say("Loading Python …", "busy");
  const slow = setTimeout(() => say("Still loading Python (15 MB). Where it does not end, the browser's console says why.", "busy"), LOADING);
  worker = new Worker(`worker.js?${version}`, { type: "module" });
  worker.onmessage = ({ data }) => {
    clearTimeout(slow);
    if (data.ready) {
      isReady = true;
      say("Ready.", "ready");
      document.documentElement.dataset.ready = "true";
      listTopics().then(warmUp);
    } else if (data.id === undefined) {
      say(`Python could not be loaded: ${data.failed}`, "failed");
    } else {
      const { resolve, reject } = waiting.get(data.id);
      waiting.delete(data.id);
      data.failed ? reject(new Error(data.failed)) : resolve(data.answer);
    }
  };
  worker.onerror = ({ message }) => {
    clearTimeout(slow);
    const cause = message || "the host must send .js files as text/javascript";
    say(`Python could not be loaded: ${cause}`, "failed");
  };
}

let last = 0;

function ask(request) {
  return new Promise((resolve, reject) => {
    const id = ++last;
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, request });
  });
}

function stopPython() {
  worker.terminate();
  for (const { reject } of waiting.values()) reject(new Error("Stopped."));
  startPython();
}

function say(text, state) {
  announced.textContent = text;
  document.getElementById("state").dataset.state = state;
}

async function listTopics() {
  const list = document.getElementById("topics");
  if (list.childElementCount) return;
  const answer = await ask({ words: ["explain", "--json"] });
  const { topics } = JSON.parse(answer.parts.map(([, text]) => text).join(""));
  for (const name of Object.keys(topics)) list.append(make("option", { value: name }));
}

// The first command of a kind imports its modules: half a second that nobody needs to wait for.
async function warmUp() {
  const first = [["plan", "bert-base"], ["audit", "100 steps of 10 samples over 1000 samples, 1 epoch"], ["audit", "bert"]];
  for (const words of first) await ask({ words, view: true });
  document.documentElement.dataset.warm = "true";
}

// ---- Forms: what is asked, and the link that asks it again ----

const panels = new Map(
  [...document.querySelectorAll("main > section")].map((section) => [
    section.id.replace("panel-", ""),
    { section, form: section.querySelector("form"), result: section.querySelector(".result") },
  ]),
);

const field = (id) => document.getElementById(id);
const flagsOf = (form) => [...form.querySelectorAll("[data-flag]")];

const READ = {
  solve: (form) => ({ words: ["solve", ...flagWords(form)] }),
  plan(form) {
    const yaml = field("plan-yaml").value;
    const name = field("plan-recipe").value;
    const own = yaml.trim() && yaml !== recipes[name];
    const words = ["plan", ...(own ? ["recipe.yaml"] : yaml.trim() ? [name] : []), ...flagWords(form)];
    return { words, more: field("plan-more").value, files: own ? { "recipe.yaml": yaml } : {} };
  },
  audit() {
    const text = field("audit-text").value.trim() || field("audit-claim").value;
    return { words: ["audit", ...(text.startsWith("-") ? ["--"] : []), ...(text ? [text] : [])] };
  },
  explain(form) {
    const topic = field("explain-topic").value.trim();
    return { words: ["explain", ...(topic ? [topic] : []), ...flagWords(form)] };
  },
  command: () => ({ line: field("command-line").value }),
};

// Names in a link, and the fields that are not flags.
const OTHERS = {
  solve: {},
  plan: { recipe: "plan-recipe", yaml: "plan-yaml", more: "plan-more" },
  audit: { text: "audit-text", claim: "audit-claim" },
  explain: { topic: "explain-topic" },
  command: { line: "command-line" },
};

function flagWords(form) {
  return flagsOf(form).flatMap((each) => (each.value.trim() ? [`--${each.dataset.flag}`, each.value.trim()] : []));
}

function linkOf(name) {
  const { form } = panels.get(name);
  const state = new URLSearchParams();
  for (const [key, id] of Object.entries(OTHERS[name])) {
    const value = field(id).value;
    const isShipped = key === "yaml" && value === recipes[field("plan-recipe").value];
    if (value && !isShipped) state.set(key, value);
  }
  for (const each of flagsOf(form)) if (each.value.trim()) state.set(each.dataset.flag, each.value.trim());
  const text = state.toString();
  return text ? `#${name}?${text}` : `#${name}`;
}

function fillIn(name, state) {
  const { form } = panels.get(name);
  form.reset();
  for (const each of flagsOf(form)) {
    each.value = state.get(each.dataset.flag) ?? "";
    if (each.value) each.closest("details")?.setAttribute("open", "");
  }
  for (const [key, id] of Object.entries(OTHERS[name])) field(id).value = state.get(key) ?? "";
  if (name === "plan" && !state.has("yaml")) field("plan-yaml").value = recipes[field("plan-recipe").value] ?? "";
}

function follow(hash) {
  const [, wanted, query] = hash.match(/^#?([\w-]*)\??(.*)$/s) ?? [];
  const name = panels.has(wanted) ? wanted : "solve";
  for (const [each, { section }] of panels) section.hidden = each !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (query) {
    fillIn(name, new URLSearchParams(query));
    return run(name);
  }
}

// ---- Running, and what is shown ----

let runs = 0;

async function run(name) {
  const { form, result } = panels.get(name);
  const number = ++runs;
  const link = linkOf(name);
  if (location.hash !== link) {
    const isFirst = !location.hash || location.hash === `#${name}`;
    history[isFirst ? "replaceState" : "pushState"](null, "", link);
  }
  const begun = performance.now();
  result.setAttribute("aria-busy", "true");
  result.dataset.run = number;
  if (!isReady) result.replaceChildren(make("p", { className: "muted" }, "Python is being loaded; the answer follows."));
  const stop = setTimeout(() => {
    if (isReady) result.prepend(make("p", {}, "Still computing. ", button("Stop", stopPython)));
  }, PATIENCE);
  try {
    const answer = await ask({ ...READ[name](form), view: true });
    if (result.dataset.run !== String(number)) return;
    showAnswer(name, answer, new URL(link, location.href).href);
    result.dataset.milliseconds = (performance.now() - begun).toFixed(0);
  } catch (error) {
    if (result.dataset.run === String(number)) result.replaceChildren(make("p", { className: "verdict poor" }, error.message));
  } finally {
    clearTimeout(stop);
    if (result.dataset.run === String(number)) {
      result.removeAttribute("aria-busy");
      result.dataset.answered = number;
    }
  }
}

function showAnswer(name, answer, link) {
  const { form, result } = panels.get(name);
  const view = answer.view ?? {};
  const isWrong = answer.code === 2;
  const output = make("pre", { tabIndex: 0, className: isWrong ? "wrong" : "" });
  output.setAttribute("role", "group");
  output.setAttribute("aria-label", isWrong ? "Error" : "Output");
  for (const [stream, text] of answer.parts) {
    for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
      // Prose is wrapped, tables are scrolled; errors are prose.
      const isProse = line.length > LONG && !line.startsWith(" ");
      const classes = [stream, isProse && "prose", isWrong && line.startsWith("error:") && "error"];
      output.append(make("span", { className: classes.filter(Boolean).join(" ") }, line));
    }
  }
  const shown = [
    ...(view.answer ? [make("p", { className: `verdict ${view.tone}` }, view.answer)] : []),
    ...(view.remark ? [make("p", { className: "muted" }, view.remark)] : []),
    ...(view.tiles ? [tiles(view.tiles)] : []),
    ...(view.sentence ? [sentence(view.sentence)] : []),
    ...(view.passes?.length ? [passes(view.passes)] : []),
    commandLine(answer.line, link),
    output,
    ...(CODES[answer.code] ? [make("p", { className: "muted" }, CODES[answer.code])] : []),
    ...Object.entries(answer.files).map(([file, text]) => written(file, text)),
  ];
  result.replaceChildren(...shown);
  result.dataset.code = answer.code;
  const first = answer.parts.map(([, text]) => text).join("");
  document.getElementById("announcement").textContent =
    view.answer ?? (isWrong ? first : `Done, ${first.split("\n").length} lines.`);
  if (name === "solve") fillUnknown(form, view);
}

function bringIntoView(result) {
  if (result.getBoundingClientRect().top < window.innerHeight * 0.7) return;
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  result.scrollIntoView({ behavior: isStill ? "auto" : "smooth", block: "start" });
}

function fillUnknown(form, view) {
  for (const each of flagsOf(form)) {
    each.classList.remove("found");
    each.placeholder = each.dataset.example ?? "";
  }
  const unknown = view.unknown && form.querySelector(`[data-flag="${CSS.escape(view.unknown)}"]`);
  if (unknown && !unknown.value) {
    unknown.placeholder = view.value;
    unknown.classList.add("found");
  }
}

function commandLine(line, link) {
  const text = make("code", { tabIndex: 0 }, `$ ${line}`);
  return make(
    "div",
    { className: "command" },
    text,
    make("span", { className: "copies" }, copier("Copy command", () => line), copier("Copy link", () => link)),
  );
}

function copier(title, text) {
  const made = button(title, async () => {
    try {
      await navigator.clipboard.writeText(text());
      made.textContent = "Copied";
    } catch {
      window.prompt(title, text());
    }
    setTimeout(() => (made.textContent = title), 1500);
  });
  return made;
}

function tiles(each) {
  const list = make("dl", { className: "tiles" });
  list.style.setProperty("--columns", Math.ceil(each.length / Math.ceil(each.length / TILES)));
  for (const [label, value, remark] of each) {
    const shown = make("dd", {}, value);
    if (remark) shown.append(make("small", {}, remark));
    list.append(make("div", {}, make("dt", {}, label), shown));
  }
  return list;
}

function sentence(pieces) {
  const quote = make("blockquote");
  for (const [text, role] of pieces) quote.append(role ? make("mark", {}, text, make("small", {}, ` ${role}`)) : text);
  return quote;
}

function passes(methods) {
  const count = methods[0].passes.length;
  const made = make(
    "figure",
    { className: "passes" },
    make("figcaption", {}, "Which samples each iteration takes, where an epoch is a pass. Bold: the iteration; in the squares: its samples."),
  );
  for (const { method, batch, iterations, draws, passes: each } of methods) {
    const said = `: batch ${batch}, ${countOf(iterations, "iteration")} in ${countOf(count, "pass", "es")}, ${draws} samples drawn`;
    const table = make("table", {}, make("caption", {}, make("strong", {}, method), said));
    each.forEach((pass, index) => {
      const cell = make("td");
      for (const { number, samples } of pass) {
        const squares = samples.map((sample) => make("i", {}, String(sample)));
        cell.append(make("span", { className: number % 2 ? "iteration" : "iteration even", title: `iteration ${number}: ${samples.join(", ")}` },
          make("b", {}, String(number)), make("span", { className: "samples" }, ...squares)));
      }
      table.append(make("tr", {}, Object.assign(make("th", {}, `pass ${index + 1}`), { scope: "row" }), cell));
    });
    made.append(table);
  }
  return made;
}

function countOf(number, word, ending = "s") {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : ending}`;
}

function written(file, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: file }, "save it");
  return make("details", { open: true }, make("summary", {}, `${file}, written in memory: `, link), make("pre", { tabIndex: 0 }, text));
}

function button(title, action) {
  const made = make("button", { type: "button", className: "quiet" }, title);
  made.addEventListener("click", action);
  return made;
}

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- Events ----

for (const [name, { form, result }] of panels) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(name).then(() => bringIntoView(result));
  });
  form.querySelector(".clear").addEventListener("click", () => {
    form.reset();
    result.replaceChildren();
    delete result.dataset.run;
    if (name === "solve") fillUnknown(form, {});
    if (location.hash !== `#${name}`) history.pushState(null, "", `#${name}`);
  });
  form.addEventListener("input", () => name === "solve" && fillUnknown(form, {}));
  for (const each of flagsOf(form)) each.dataset.example = each.placeholder ?? "";
  for (const area of form.querySelectorAll("textarea")) {
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
  }
  for (const link of form.querySelectorAll(".examples a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      follow(link.hash)?.then(() => bringIntoView(result));
    });
  }
}

field("plan-recipe").addEventListener("change", ({ target }) => {
  field("plan-yaml").value = recipes[target.value] ?? "";
});
field("audit-claim").addEventListener("change", ({ target }) => {
  if (target.value) field("audit-text").value = "";
});

const typed = [];
let at = 0;
panels.get("command").form.addEventListener("submit", () => {
  const line = field("command-line").value;
  if (line && typed.at(-1) !== line) typed.push(line);
  at = typed.length;
});
field("command-line").addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || !typed.length) return;
  event.preventDefault();
  at = Math.min(Math.max(at + step, 0), typed.length);
  event.target.value = typed[at] ?? "";
});

window.addEventListener("hashchange", () => follow(location.hash));
startPython();
follow(location.hash || FIRST);
