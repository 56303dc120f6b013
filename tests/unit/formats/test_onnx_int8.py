import numpy as np
import onnx
import pytest

from ferlab import formats
from ferlab.formats import onnx as plain
from ferlab.formats.harm import FLOAT_SHARE
from ferlab.formats.onnx_int8 import BATCH, harmful, quantise, write


@pytest.fixture
def model(tmp_path, make_bundle, make_seal):
    """A file in float32, ready to be quantised."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    bundle = make_bundle(affect=True)
    onnx.save(plain.model_of(bundle, make_seal(bundle)), tmp_path / "plain.onnx")
    quant_pre_process(tmp_path / "plain.onnx", tmp_path / "ready.onnx", skip_symbolic_shape=True)
    return tmp_path / "ready.onnx"


def layers(model):
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]


def in_float(model):
    """Names of the layers whose weights are not taken from 8 bit."""
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    return [node.name for node in layers(model) if made_by.get(node.input[1]) != "DequantizeLinear"]


@pytest.mark.parametrize("way", ["minmax", "percentile", "float_layers"])
def test_every_way_is_smaller_and_close(tmp_path, make_bundle, make_seal, faces, capsys, way):
    bundle = make_bundle(affect=True, size=16)
    plain.write(bundle, make_seal(bundle), tmp_path / "model.onnx", faces, "")
    path = tmp_path / "model_int8.onnx"
    write(bundle, make_seal(bundle, "onnx_int8"), path, faces, way)
    assert capsys.readouterr().out == ""
    runner = formats.read(path)
    assert runner.seal.kind == "onnx_int8"
    answers, expected = runner.answers(faces), bundle.answers(faces)
    assert (answers["expression"].argmax(1) == expected["expression"].argmax(1)).mean() >= 0.9
    np.testing.assert_allclose(answers["expression"].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(answers["affect"], expected["affect"], atol=0.2)
    assert not np.array_equal(answers["expression"], formats.read(tmp_path / "model.onnx").answers(faces)["expression"])


def test_weights_are_signed_per_channel_and_activations_unsigned(model, faces):
    """Signed activations are several times slower on CPUs."""
    quantised = quantise(model, faces, "minmax", [])
    assert in_float(quantised) == []
    values = {tensor.name: tensor for tensor in quantised.graph.initializer}
    activations = [node for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    assert activations
    assert {values[node.input[2]].data_type for node in activations} == {onnx.TensorProto.UINT8}
    made_by = {node.output[0]: node for node in quantised.graph.node}
    convolution = next(node for node in quantised.graph.node if node.op_type == "Conv")
    weights, scale, _ = made_by[convolution.input[1]].input
    assert values[weights].data_type == onnx.TensorProto.INT8
    assert list(values[scale].dims) == [4]  # one a channel


def test_no_sum_of_two_products_saturates_16_bits(model, faces):
    """Where they would, AVX2 without VNNI answers otherwise than the processor that verified the file."""
    quantised = quantise(model, faces, "minmax", [])
    weights = [onnx.numpy_helper.to_array(each) for each in quantised.graph.initializer if each.data_type == 3]
    weights = [each.astype(int) for each in weights if each.ndim > 1]
    assert len(weights) == len(layers(quantised))
    assert max(255 * 2 * abs(each).max() for each in weights) <= 2**15 - 1
    assert max(abs(each).max() for each in weights) == 64  # and no bit is given away


def test_the_two_calibrations_differ(model, faces):
    """onnxruntime takes a method that it does not implement without a word."""
    spread = np.concatenate([faces, np.zeros_like(faces[:1]), np.full_like(faces[:1], 255)])
    first, second = (quantise(model, spread, way, []).SerializeToString() for way in ("minmax", "percentile"))
    assert first != second


def test_percentiles_see_every_face_and_hold_one_batch_at_a_time(model, faces, monkeypatch):
    """All activations of 512 faces of 224 px at once are more than most machines have."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    held, collect = [], HistogramCollector.collect

    def counted(self, arrays):
        held.append(max(sum(len(part) for part in parts) for parts in arrays.values()))
        return collect(self, arrays)

    monkeypatch.setattr(HistogramCollector, "collect", counted)
    quantise(model, faces, "percentile", [])
    assert (max(held), sum(held)) == (BATCH, len(faces))


def test_layers_that_stay_in_float_are_those_that_hurt(model, faces, monkeypatch):
    names = [node.name for node in layers(onnx.load(model))]
    worst = names[-1]

    def answers(found, images):
        """A network that only the last layer in 8 bit harms."""
        touched = [name for name in names if name not in in_float(found)]
        return np.full((len(images), 2), 5.0 if worst in touched else 0.001 * len(touched))

    monkeypatch.setattr("ferlab.formats.onnx_int8._answers", answers)
    chosen = harmful(model, faces)
    assert chosen[-1] == worst
    assert len(chosen) == max(1, round(FLOAT_SHARE * len(names)))
    assert in_float(quantise(model, faces, "percentile", chosen)) == chosen


def test_a_layer_that_stays_in_float_is_in_float_when_it_runs(model, faces, tmp_path):
    """onnxruntime gives it 8-bit weights of its own otherwise, in a full range that overflows on some processors."""
    import onnxruntime

    kept = layers(onnx.load(model))[0].name
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    content = quantise(model, faces, "percentile", [kept]).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx").graph
    kinds = [node.op_type for node in optimised.node]
    assert kinds.count("QLinearConv") + kinds.count("QGemm") == len(layers(onnx.load(model))) - 1, kinds
    again = quantise(model, faces, "percentile", [kept])
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = ""
    plainly = onnxruntime.InferenceSession(again.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for one, other in zip(session.run(None, {"images": faces}), plainly.run(None, {"images": faces}), strict=True):
        np.testing.assert_allclose(one, other, atol=0.03)
