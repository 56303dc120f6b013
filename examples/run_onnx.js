// What a file of `ferlab export format=onnx` says of a face crop: node run_onnx.js model.onnx face.png
// Without ferlab. Needs `npm install onnxruntime-node sharp`; spec.json must lie beside the model. sharp resizes with
// another filter than the training, so answers for crops of another size than the model's differ a little.
const fs = require("node:fs");
const path = require("node:path");

async function run(model, picture) {
  const ort = require("onnxruntime-node");
  const sharp = require("sharp");
  const { spec, files } = JSON.parse(fs.readFileSync(path.join(path.dirname(model), "spec.json"), "utf8"));
  const { inputs, outputs } = files[path.basename(model)];
  const [area, gray] = [spec.size * spec.size, spec.colour === "gray"];
  const resized = sharp(picture).removeAlpha().toColourspace("srgb").resize(spec.size, spec.size, { fit: "fill" });
  const rgb = await resized.raw().toBuffer();
  const pixels = new Uint8Array(area * inputs[0].channels.length);  // the model normalises by itself
  for (let i = 0; i < area; i++) {
    const [r, g, b] = rgb.subarray(3 * i, 3 * i + 3);
    if (gray) pixels[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    else [pixels[i], pixels[area + i], pixels[2 * area + i]] = [r, g, b];
  }
  const session = await ort.InferenceSession.create(model);
  const images = new ort.Tensor("uint8", pixels, [1, ...inputs[0].shape.slice(1)]);
  const answers = await session.run({ images });
  for (const { name, labels } of outputs) {
    labels.forEach((label, k) => console.log(label, answers[name].data[k].toFixed(4)));
  }
}

if (process.argv.length !== 4) {
  console.error("usage: node run_onnx.js model.onnx face.png");
  process.exit(1);
}
run(process.argv[2], process.argv[3]);
