import json
import os
import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ferlab
from ferlab.bundle import Bundle, load_bundle, pick_device, save_bundle
from ferlab.errors import BundleError, ConfigError
from ferlab.faces import FaceCrop
from ferlab.models import build
from ferlab.past import Past
from ferlab.runner import Prediction, softmax
from ferlab.spec import ModelSpec

LABELS = ("anger", "happiness", "neutral")
MODEL = {"name": "custom_cnn", "options": {"widths": [4, 8], "hidden": 8, "dropout": 0.1}}
RNG = np.random.default_rng(0)
FACE = RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8)


def made(spec=None, model=MODEL, seed=0):
    torch.manual_seed(seed)
    spec = spec or ModelSpec(LABELS, size=16, temperature=1.7, face=FaceCrop(0.1))
    net = build(spec, model["name"], model["options"]).eval()
    for buffer_name, buffer in net.named_buffers():
        if "running" in buffer_name:
            buffer.add_(0.1)  # statistics too have to survive
    return Bundle(spec, model, net, {"dataset": "drawn", "digest": "0123"})


@pytest.fixture
def bundle(tmp_path):
    result = made()
    save_bundle(result, tmp_path / "run" / "bundle", {"accuracy": 0.5}, "a card")
    return result


@pytest.fixture
def folder(bundle, tmp_path):
    return tmp_path / "run" / "bundle"


def edit(folder, change):
    document = json.loads((folder / "spec.json").read_text())
    change(document)
    (folder / "spec.json").write_text(json.dumps(document))


def test_round_trip_is_bit_equal(bundle, folder):
    loaded = load_bundle(folder)
    assert loaded.spec == bundle.spec
    assert loaded.model == bundle.model
    assert loaded.provenance == bundle.provenance
    assert loaded.path == folder
    assert not loaded.net.training
    images = RNG.integers(0, 256, (5, 1, 16, 16), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.logits(images)["expression"], bundle.logits(images)["expression"])
    weights = bundle.net.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.net.state_dict().items())


def test_others_may_read_what_they_are_given(folder):
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {"0o644"}


def test_a_bundle_holds_five_files_and_loads_from_its_run_too(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"spec.json", "label_map.json", "weights.safetensors", "metrics.json", "README.md"}
    assert (folder / "README.md").read_text() == "a card"
    assert ferlab.load_bundle(folder.parent).path == folder


def test_saving_again_replaces_the_whole_folder(folder):
    (folder / "stale.txt").write_text("left from before")
    save_bundle(made(seed=1), folder, {}, "second card")
    assert not (folder / "stale.txt").exists()
    assert (folder / "README.md").read_text() == "second card"
    assert [p.name for p in folder.parent.iterdir()] == ["bundle"]


def test_a_failed_save_leaves_the_old_bundle(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_bundle(made(seed=1), folder, {"accuracy": float("nan")}, "second card")
    assert (folder / "README.md").read_text() == "a card"
    assert [p.name for p in folder.parent.iterdir()] == ["bundle"]


def test_predict_divides_by_the_temperature_and_sorts(bundle):
    logits = bundle.logits(bundle.spec.prepare(FACE)[None])["expression"][0].astype(float)
    shares = np.exp(logits / 1.7) / np.exp(logits / 1.7).sum()
    answer = bundle.predict(FACE)
    assert list(answer.expression.values()) == pytest.approx(sorted(shares, reverse=True))
    assert answer.expression[LABELS[int(shares.argmax())]] == pytest.approx(shares.max())
    assert answer.valence is None


def test_predict_with_an_affect_head_only():
    answer = made(ModelSpec((), affect=True, size=16)).predict(FACE)
    assert answer.expression == {}
    assert -1 <= answer.valence <= 1
    assert -1 <= answer.arousal <= 1


def test_several_faces_are_answered_in_their_order_and_one_as_one(bundle):
    faces = RNG.integers(0, 256, (70, 20, 16, 3), dtype=np.uint8)  # more than one batch
    answers = bundle.predict(faces)
    logits = bundle.logits(np.stack([bundle.spec.prepare(face) for face in faces]))["expression"]
    shares = softmax(logits / 1.7)
    assert [answer.label for answer in answers] == [LABELS[i] for i in shares.argmax(1)]
    assert [answer.expression["anger"] for answer in answers] == pytest.approx(list(shares[:, 0]), rel=1e-5)
    assert bundle.predict(list(faces)) == answers
    assert bundle.predict([faces[0]]) == [bundle.predict(faces[0])]
    assert bundle.predict(np.ascontiguousarray(faces[..., ::-1]), colour="bgr") == answers
    assert bundle.predict([]) == []


def test_embeddings_are_what_the_heads_answer_from(bundle):
    faces = RNG.integers(0, 256, (3, 20, 16, 3), dtype=np.uint8)
    found = bundle.embeddings(faces)
    assert (found.shape, found.dtype) == ((3, 8), np.float32)
    head = bundle.net.heads["expression"]
    logits = found @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    prepared = np.stack([bundle.spec.prepare(face) for face in faces])
    np.testing.assert_allclose(logits, bundle.logits(prepared)["expression"], rtol=1e-5)
    assert bundle.embeddings(faces[0]).shape == (1, 8)
    assert bundle.embeddings([]).shape == (0, 8)


def test_what_is_printed_is_short(bundle, folder):
    assert repr(bundle.spec) == f"ModelSpec(anger, happiness, neutral; 16 px gray; digest {bundle.spec.digest})"
    weights = f"{bundle.parameters:,} weights"
    assert (
        repr(load_bundle(folder)) == f"Bundle(custom_cnn, {weights}; anger, happiness, neutral; 16 px gray; {folder})"
    )
    answer = Prediction({"anger": 0.75, "fear": 0.125, "neutral": 0.12, "sadness": 0.005}, -0.25, 0.5)
    assert repr(answer) == "Prediction(anger 0.750, fear 0.125, neutral 0.120, …, valence -0.25, arousal +0.50)"
    assert (answer.label, Prediction({}, 0.1, 0.2).label) == ("anger", None)


def test_a_bundle_shows_its_card_and_labels(bundle, folder):
    loaded = ferlab.load(folder.parent)
    assert (loaded.card, loaded.labels) == ("a card", LABELS)
    (folder / "README.md").unlink()
    with pytest.raises(BundleError, match=r"must hold README.md, got No such file"):
        loaded.card  # noqa: B018
    with pytest.raises(BundleError, match="must have been saved to have a card"):
        bundle.card  # noqa: B018


def test_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4, -1e4]])), [[0.5, 0.5, 0]])


def rename_labels(document):
    document["spec"]["expression"] = ["happiness", "anger", "neutral"]


FAULTS = {
    "edited label order": (rename_labels, "digest must be .* it was edited"),
    "edited temperature": (lambda d: d["spec"].update(temperature=1.0), "it was edited"),
    "unknown model": (lambda d: d["model"].update(name="custom_cmn"), "did you mean 'custom_cnn'"),
    "unknown option": (lambda d: d["model"]["options"].update(wdths=[4]), "wdths"),
    "unknown field": (lambda d: d["spec"].update(sizes=16), "did you mean 'size'"),
    "a label that is none": (lambda d: d["spec"].update(expression=["anger", "happy"]), "write 'happiness'"),
    "ill-typed size": (lambda d: d["spec"].update(size="16"), "well typed"),
    "no model": (lambda d: d.pop("model"), "no 'model'"),
    "negative width": (lambda d: d["model"]["options"].update(hidden=-1), "does not describe a model"),
    "other shapes": (lambda d: d["model"]["options"].update(hidden=9), "size mismatch"),
    "other depth": (lambda d: d["model"]["options"].update(widths=[4]), "does not hold this model's weights"),
    "an option that shapes do not show": (lambda d: d["model"]["options"].update(dropout=0.2), "copy the whole bundle"),
    "format from the future": (lambda d: d.update(format=2), "format 1, got 2; use the ferlab that wrote it"),
    "foreign JSON": (lambda d: d.clear(), "format 1, got None"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_spec_is_refused_in_one_line(folder, fault):
    change, said = FAULTS[fault]
    edit(folder, change)
    with pytest.raises(BundleError, match=said) as caught:
        load_bundle(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_bit_of_the_specification_counts(folder, bundle):
    original = (folder / "spec.json").read_bytes()
    start, end = original.index(b'"spec"'), original.index(b'"provenance"')
    for place in range(start, end):
        flipped = bytearray(original)
        flipped[place] ^= 1 << (place % 7)
        (folder / "spec.json").write_bytes(flipped)
        try:
            loaded = load_bundle(folder)
        except BundleError:
            continue
        changed = f"byte {place} changed the model unnoticed"
        assert loaded.spec == bundle.spec, changed
        assert loaded.model == bundle.model, changed


@pytest.mark.parametrize("content", [b"[1, 2]", b"{", b"\xff\xfe\x00", b"", b"null"])
def test_spec_that_is_no_bundle_is_refused(folder, content):
    (folder / "spec.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"spec\.json must"):
        load_bundle(folder)


def test_the_label_map_says_what_each_output_means(folder, tmp_path):
    document = json.loads((folder / "label_map.json").read_text())
    assert document["expression"] == {str(i): name for i, name in enumerate(LABELS)}
    assert document["affect"] is None
    assert document["format"] == 1
    assert "spec.json" in document["note"]
    for labels, expected in (((), None), (("fear", "neutral"), {"0": "fear", "1": "neutral"})):
        save_bundle(made(ModelSpec(labels, affect=True, size=16)), tmp_path / "other", {}, "")
        document = json.loads((tmp_path / "other" / "label_map.json").read_text())
        assert document["expression"] == expected
        assert document["affect"] == ["valence", "arousal"]
        assert load_bundle(tmp_path / "other").spec.expression == labels


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"expression": {"0": "sadness", "1": "anger", "2": "neutral"}, "affect": null}', "expression must be"),
        ('{"expression": {"0": "anger", "1": "happiness"}, "affect": null}', "expression must be"),
        ('{"affect": null}', "got null"),
        ('{"expression": EXPRESSION, "affect": ["arousal", "valence"]}', 'affect must be null.*got \\["arousal'),
        ("[]", "expression must be"),
        ("{", "must be JSON"),
    ],
)
def test_a_label_map_that_was_edited_is_refused(folder, content, said):
    expression = json.dumps({str(i): name for i, name in enumerate(LABELS)})
    (folder / "label_map.json").write_text(content.replace("EXPRESSION", expression))
    with pytest.raises(BundleError, match=rf"label_map\.json.*{said}.*copy the") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_a_bundle_from_before_there_were_label_maps_loads(folder, bundle):
    (folder / "label_map.json").unlink()
    assert load_bundle(folder).spec == bundle.spec


PAST = Past.of(np.array([3, 1], np.uint64), np.array([7], np.uint64))


@pytest.fixture
def knowing(tmp_path):
    """The folder of a bundle that knows what it has seen."""
    save_bundle(replace(made(), past=PAST), tmp_path / "knowing", {}, "a card")
    return tmp_path / "knowing"


def test_a_bundle_knows_what_it_has_seen(knowing, folder):
    assert load_bundle(folder).past is None
    bundle = load_bundle(knowing)
    trained, selected = bundle.past.seen(np.array([1, 7], np.uint64))
    assert trained.tolist() == [True, False]
    assert selected.tolist() == [False, True]
    assert bundle.provenance["past"] == PAST.summary
    save_bundle(bundle, folder, {}, "saved again")
    assert load_bundle(folder).past.summary == PAST.summary


def test_a_past_that_is_missing_another_models_or_unnamed_is_refused(knowing, folder, tmp_path):
    file = knowing / "past.bin"
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(BundleError, match=r"must hold past\.bin, the faces that it has seen, got none; copy the whole"):
        load_bundle(knowing)
    Past.of(np.array([3], np.uint64), np.array([7], np.uint64)).write(file)
    with pytest.raises(BundleError, match=r"past\.bin must be the one that its model names"):
        load_bundle(knowing)
    file.write_bytes(content[:-1])
    with pytest.raises(BundleError, match=r"past\.bin must be a whole list of faces seen"):
        load_bundle(knowing)
    (folder / "past.bin").write_bytes(content)
    with pytest.raises(BundleError, match=r"past\.bin must be the one that its model names, 'None'"):
        load_bundle(folder)


@pytest.mark.parametrize("provenance", [[], "x", 5])
def test_provenance_without_keys_is_refused(folder, provenance):
    edit(folder, lambda document: document.update(provenance=provenance))
    with pytest.raises(BundleError, match=r"spec\.json must give provenance by key"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "small_resnet", "options": {"width": 10**9}},
        {"name": "small_resnet", "options": {"depth": 10**12, "width": 1}},
        {"name": "mlp", "options": {"widths": [10**6, 10**6]}},
        {"name": "custom_cnn", "options": {"widths": [4], "hidden": 10**8}},
    ],
)
def test_a_network_larger_than_its_file_is_not_built(folder, model):
    began = time.process_time()
    edit(folder, lambda document: document.update(model=model))
    with pytest.raises(BundleError, match=r"no more weights than|allocate|too large|overflow") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 30


def test_a_transformer_of_a_million_patches_is_not_run(folder):
    spec = ModelSpec(LABELS, size=1024)
    model = {"name": "vit_tiny", "options": {"patch": 1}}
    edit(folder, lambda document: document.update(model=model, spec=spec.to_dict(), digest=spec.digest))
    with pytest.raises(BundleError, match=r"bytes in one result|no more weights"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["spec.json", "label_map.json", "weights.safetensors"])
def test_a_fifo_in_a_bundle_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BundleError, match=r"no regular file|got none") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_answers_that_are_not_finite_are_an_error(bundle):
    bundle.net.heads["expression"].weight.data.fill_(float("inf"))
    with pytest.raises(BundleError, match="must answer finite numbers"):
        bundle.answers(RNG.integers(0, 256, (5, 1, 16, 16), dtype=np.uint8))


def test_missing_files_are_named(folder, tmp_path):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"must hold weights\.safetensors, got none"):
        load_bundle(folder)
    with pytest.raises(BundleError, match="nowhere; give a run's or bundle's folder"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights_are_refused(folder, keep):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[:keep])
    with pytest.raises(BundleError, match="copy the bundle again"):
        load_bundle(folder)


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_a_pickle_in_place_of_weights_runs_nothing(folder, tmp_path, write):
    mark = tmp_path / "executed"
    with open(folder / "weights.safetensors", "wb") as file:
        write(Bomb(mark), file)
    with pytest.raises(BundleError, match="does not hold this model's weights"):
        load_bundle(folder)
    assert not mark.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, bundle, value):
    with torch.no_grad():
        bundle.net.heads["expression"].bias[1] = value
    save_bundle(bundle, folder, {}, "")
    with pytest.raises(BundleError, match=r"finite, got NaN or infinity in heads\.expression\.bias"):
        load_bundle(folder)


def test_weights_of_another_label_order_are_refused_though_they_fit(folder, tmp_path):
    other = made(ModelSpec(LABELS[::-1], size=16, temperature=1.7, face=FaceCrop(0.1)))
    save_bundle(other, tmp_path / "other", {}, "")
    (tmp_path / "other" / "weights.safetensors").replace(folder / "weights.safetensors")
    with pytest.raises(BundleError, match=f"digest .*, got {other.spec.digest}; copy the whole bundle"):
        load_bundle(folder)


def test_weights_without_a_digest_are_refused(folder):
    file = folder / "weights.safetensors"
    save_file(load_file(file), file)
    with pytest.raises(BundleError, match=r"as spec\.json is, got None"):
        load_bundle(folder)


def test_every_bit_of_the_weights_counts(folder):
    """A flipped bit of a mantissa gives finite weights of the right shape, and other answers."""
    file = folder / "weights.safetensors"
    original = file.read_bytes()
    start = 8 + int.from_bytes(original[:8], "little")
    for place in [*range(8, start), *range(start, len(original), 97)]:
        flipped = bytearray(original)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(flipped)
        with pytest.raises(BundleError, match=r"^[^\n]+$"):
            load_bundle(folder)


def test_changed_weights_say_so(folder):
    file = folder / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(
        BundleError, match=r"the digest of its content must be \w{16}, got \w{16}; copy the bundle again"
    ):
        load_bundle(folder)


def test_equal_bundles_are_equal_files(folder, tmp_path):
    for again in range(8):  # safetensors writes several keys of metadata in any order
        save_bundle(made(), tmp_path / str(again), {"accuracy": 0.5}, "a card")
        for file in folder.iterdir():
            assert (tmp_path / str(again) / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_bundle_from_before_there_was_a_digest_loads(folder, bundle):
    file = folder / "weights.safetensors"
    with safe_open(file, "pt") as opened:
        seal = json.loads(opened.metadata()["ferlab"])
    save_file(load_file(file), file, {key: seal[key] for key in ("digest", "model")})
    assert torch.equal(
        load_bundle(folder).net.state_dict()["heads.expression.bias"], bundle.net.state_dict()["heads.expression.bias"]
    )


def test_auto_picks_the_first_device_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == "cuda"
    assert pick_device("cuda:1") == "cuda:1"
    with pytest.raises(ConfigError, match="'cuda:2', which is not here"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="device=auto"):
        pick_device("cuda")
    with pytest.raises(ConfigError, match="did you mean 'cuda'"):
        pick_device("cuds")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == "mps"


@pytest.mark.parametrize("change", [{"recipe": [1]}, {"seed": {}}, {"dataset": 3}])
def test_provenance_of_another_shape_is_refused(folder, change):
    edit(folder, lambda document: document.update(provenance=change))
    with pytest.raises(BundleError, match=f"its provenance must have .* as {next(iter(change))}, got"):
        load_bundle(folder)
