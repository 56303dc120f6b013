// onnxruntime, and what lies in the file: JSON in #known, and gzip as base64 in #runtime, #model and #detector.

import * as ort from "ferlab/onnxruntime.js";
import { channels } from "ferlab/engine/prepare.js";
import { Whole, YuNet } from "ferlab/engine/yunet.js";

let loading = null;

/**
 * What answers, loaded and warm once a page: {known, model, detector}. known: what Python says; model(inputs, count): a
 * promise of its numbers by head, a Float32Array a face; detector: with `find`.
 */
export function loaded() {
  loading ??= load();
  return loading;
}

async function load() {
  const known = JSON.parse(document.getElementById("known").textContent), { spec } = known;
  ort.env.logLevel = "error";
  // One thread: more need headers that a file has not. Bytes, so that nothing is fetched.
  Object.assign(ort.env.wasm, { wasmBinary: await unpacked("runtime"), numThreads: 1, proxy: false });
  const net = await session("model");
  const model = async (inputs, count) => {
    const images = new ort.Tensor("uint8", inputs, [count, channels(spec), spec.size, spec.size]), said = await net.run({ images });
    return Object.fromEntries(Object.entries(said).map(([head, { data }]) => [head, rows(data, count)]));
  };
  const detector = await finder(known.detector);
  await model(new Uint8Array(channels(spec) * spec.size ** 2), 1);
  await detector.find({ width: 4 * 64, height: 3 * 64, channels: 3, data: new Uint8Array(12 * 64 ** 2 * 3) }, 1, 1);
  return { known, model, detector };
}

async function finder(known) {
  if (known.name === "none") return new Whole();
  const net = await session("detector"), [name] = net.inputNames;
  const run = async (data, dims) => {
    const said = await net.run({ [name]: new ort.Tensor("float32", data, dims) });
    return Object.fromEntries(Object.entries(said).map(([output, tensor]) => [output, tensor.data]));
  };
  return new YuNet(run, known, known.side);
}

async function session(id) {
  return ort.InferenceSession.create(await unpacked(id), { executionProviders: ["wasm"] });
}

/** The bytes that lie in an element. */
async function unpacked(id) {
  const packed = new Blob([bytes(document.getElementById(id).textContent)]);
  return new Uint8Array(await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** The bytes that a base64 text stands for. */
export function bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) out[i] = raw.charCodeAt(i);
  return out;
}

/** The numbers of each face apart. */
function rows(data, count) {
  const width = data.length / count;
  return Array.from({ length: count }, (_, i) => data.slice(i * width, (i + 1) * width));
}
