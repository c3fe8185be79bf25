// Runs Python beside the page, one command after the other.
import { loadPyodide } from "./pyodide/pyodide.js";
import createPyodideModule from "./pyodide/pyodide.asm.js";

const START = `
from dist_epochs.cli.main import main
from dist_epochs.page.session import Session
session = Session(main)
session.answer
`;

const fail = (error) => postMessage({ failed: String(error && error.message ? error.message : error) });

// Python's WebAssembly runs whatever type the host sends it as. Pyodide waits forever where it cannot be started, so
// that is said here.
const streamed = WebAssembly.instantiateStreaming;
WebAssembly.instantiateStreaming = async (source, imports) => {
  try {
    const answer = await source;
    if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
    if (answer.headers.get("Content-Type") === "application/wasm") return await streamed(answer, imports);
    return await WebAssembly.instantiate(await answer.arrayBuffer(), imports);
  } catch (error) {
    fail(error);
    throw error;
  }
};

async function start(bundle) {
  const [python, packages] = await Promise.all([
    loadPyodide({ indexURL: new URL("./pyodide/", import.meta.url).href, createPyodideModule }),
    fetch(new URL(bundle, import.meta.url)).then((answer) => {
      if (!answer.ok) throw new Error(`${bundle}: ${answer.status}`);
      return answer.arrayBuffer();
    }),
  ]);
  python.unpackArchive(packages, "zip", { extractDir: python.runPython("import site; site.getsitepackages()[0]") });
  return python.runPython(START);
}

const bundle = `packages.zip?${new URL(import.meta.url).search.slice(1)}`;
const ready = start(bundle);
ready.then(
  () => {
    // Nothing more is loaded, so nothing that runs here can ask for anything.
    for (const name of ["fetch", "XMLHttpRequest", "WebSocket", "EventSource"]) self[name] = undefined;
    postMessage({ ready: true });
  },
  fail,
);

onmessage = async ({ data }) => {
  const answer = await ready;
  try {
    postMessage({ id: data.id, answer: JSON.parse(answer(JSON.stringify(data.request))) });
  } catch (error) {
    postMessage({ id: data.id, failed: String(error) });
  }
};
