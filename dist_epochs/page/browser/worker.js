// Runs Python beside the page, one command after the other.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const START = `
from dist_epochs.cli.main import main
from dist_epochs.page.session import Session
session = Session(main)
session.answer
`;

async function start(bundle) {
  const [python, packages] = await Promise.all([
    loadPyodide({ indexURL: new URL("./pyodide/", import.meta.url).href }),
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
  (error) => postMessage({ failed: String(error && error.message ? error.message : error) }),
);

onmessage = async ({ data }) => {
  const answer = await ready;
  try {
    postMessage({ id: data.id, answer: JSON.parse(answer(JSON.stringify(data.request))) });
  } catch (error) {
    postMessage({ id: data.id, failed: String(error) });
  }
};
