"""Weights to start from: they are adapted as the mathematics says, loaded whole or not at all, and never unpickled."""

import hashlib
import pickle
from unittest.mock import Mock

import huggingface_hub
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file

from ferlab.bundle import Bundle, save_bundle
from ferlab.errors import ConfigError
from ferlab.labels import AFFECTNET, FERPLUS, RAFDB_COMPOUND
from ferlab.models import build, load_weights
from ferlab.spec import ModelSpec

RGB = {"colour": "rgb", "mean": (0.5,) * 3, "std": (0.25,) * 3}
RESNET = {"name": "test_resnet", "dropout": 0.0}
VIT = {"name": "test_vit", "dropout": 0.0}


def net_of(name="timm", options=RESNET, labels=FERPLUS, seed=0, **fields):
    torch.manual_seed(seed)
    return build(ModelSpec(labels, **fields), name, options).eval()


def published(name, file, seed=5, **options):
    """A file as timm publishes one: all of the network for three channels, its classifier for 1,000 classes."""
    torch.manual_seed(seed)
    network = timm.create_model(name, **options).eval()
    for buffer in network.buffers():
        if buffer.is_floating_point():
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    save_file(network.state_dict(), file)
    return network


@pytest.fixture
def resnet(tmp_path):
    """The file of a published network for `net_of(**RGB)`."""
    published("test_resnet", tmp_path / "resnet.safetensors")
    return tmp_path / "resnet.safetensors"


def bundle_of(net, name, options, folder, **fields):
    save_bundle(Bundle(ModelSpec(fields.pop("labels", FERPLUS), **fields), {"name": name, "options": options}, net, {}),
                folder, {}, "a card")  # fmt: skip
    return folder


def state(net):
    return {key: value.clone() for key, value in net.state_dict().items()}


def refused(net, source):
    """The error's one line; the network is as it was."""
    before = state(net)
    with pytest.raises(ConfigError) as caught:
        load_weights(net, source)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    return str(caught.value)


# a file of timm's


def test_a_published_file_answers_as_timm_does_and_leaves_the_heads_alone(tmp_path):
    network = published("test_resnet", tmp_path / "w.safetensors")
    net = net_of(affect=True, **RGB)
    before = state(net.heads)
    loaded = load_weights(net, tmp_path / "w.safetensors")
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(net.backbone(images), expected)
    assert loaded.loaded == sum(not key.endswith("num_batches_tracked") for key in net.backbone.state_dict())
    assert loaded.adapted == loaded.fresh == ()
    assert set(loaded.skipped) == {"body.fc.weight", "body.fc.bias"}
    assert all(torch.equal(value, before[key]) for key, value in net.heads.state_dict().items())
    assert loaded.sha256 == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert str(loaded) == f"{tmp_path}/w.safetensors: {loaded.loaded} tensors; left out fc.bias, fc.weight"


def test_a_hidden_layer_of_its_own_starts_from_the_seed_and_is_named(resnet):
    net = net_of(options=RESNET | {"hidden": 6}, **RGB)
    before = state(net.backbone.hidden)
    loaded = load_weights(net, resnet)
    assert all(torch.equal(value, before[key]) for key, value in net.backbone.hidden.state_dict().items())
    assert loaded.fresh[0] == "hidden.0.weight"
    assert "from scratch hidden.0.weight, hidden.1.weight, hidden.1.bias, and 2 more" in str(loaded)


def test_torchvisions_resnet18_has_timms_names(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    save_file(network.state_dict(), tmp_path / "resnet18.safetensors")
    net = net_of("resnet18", {}, **RGB)
    assert load_weights(net, tmp_path / "resnet18.safetensors").loaded == 100
    network.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.backbone(images), network.eval()(images))


def test_half_precision_is_widened_and_uncounted_batches_are_no_fault(resnet, tmp_path):
    tensors = {k: v.half() for k, v in load_file(resnet).items() if not k.endswith("_tracked")}
    save_file(tensors, tmp_path / "half.safetensors")
    net = net_of(**RGB)
    load_weights(net, tmp_path / "half.safetensors")
    weight = net.backbone.body.conv1[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, tensors["conv1.0.weight"].float())


@pytest.mark.parametrize(
    "name", ["efficientvit_m0", "test_convnext", "test_efficientnet", "deit_tiny_distilled_patch16_224"]
)
def test_whatever_timm_ends_in_is_left_out_and_nothing_else(name, tmp_path):
    """A batch norm before the classifier goes with it, a norm after the pooling stays; two classifiers both go."""
    published(name, tmp_path / "w.safetensors")
    net = net_of(options={"name": name}, size=224, **RGB)
    skipped = load_weights(net, tmp_path / "w.safetensors").skipped
    assert skipped
    assert all(key.startswith(("body.head", "body.classifier")) for key in skipped)


# adapting to the input


def test_summing_over_rgb_answers_a_grey_picture_as_three_equal_channels_by_hand(tmp_path):
    options = {"width": 1, "depth": 1}
    before, after = net_of("small_resnet", options, **RGB), net_of("small_resnet", options)
    with torch.no_grad():
        first_convolution(before).weight.zero_()[0, :, :2, :2] = torch.arange(12.0).reshape(3, 2, 2)
    bundle_of(before, "small_resnet", options, tmp_path / "bundle", **RGB)
    loaded = load_weights(after, tmp_path / "bundle")
    assert loaded.adapted == ("features.0.0.weight summed from RGB to grey",)
    grey = torch.zeros(1, 1, 5, 5)
    grey[..., :2, :2] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    # 0 + 4 + 8, 1 + 5 + 9, 2 + 6 + 10, 3 + 7 + 11 are 12, 15, 18, 21, and 12·1 + 15·2 + 18·3 + 21·4 is 180.
    assert F.conv2d(grey.repeat(1, 3, 1, 1), first_convolution(before).weight).item() == 180
    assert F.conv2d(grey, first_convolution(after).weight).item() == 180


def first_convolution(net):
    return next(module for module in net.modules() if isinstance(module, torch.nn.Conv2d))


@pytest.mark.parametrize("colours", [("rgb", "gray"), ("gray", "rgb")])
@pytest.mark.parametrize(
    ("name", "options"), [("timm", RESNET), ("timm", VIT), ("se_resnet", {"width": 8, "depth": 1})]
)
def test_a_grey_picture_is_answered_alike_before_and_after(colours, name, options, tmp_path):
    """Whatever the family, if the three channels are normalised as the one is."""
    fields = {"rgb": RGB, "gray": {"mean": (0.5,), "std": (0.25,)}}
    before = net_of(name, options, seed=1, **fields[colours[0]])
    bundle_of(before, name, options, tmp_path / "bundle", **fields[colours[0]])
    after = net_of(name, options, seed=2, **fields[colours[1]])
    assert len(load_weights(after, tmp_path / "bundle").adapted) == 1
    grey = torch.randint(0, 256, (3, 1, 48, 48))
    with torch.no_grad():
        old, new = (net.backbone(normalised(net, grey)) for net in (before, after))
    torch.testing.assert_close(new, old, atol=1e-4, rtol=1e-4)


def normalised(net, grey):
    return net.shift + grey * net.scale  # broadcasts to as many channels as the network has


def test_position_embeddings_are_interpolated_and_keep_the_class_token(tmp_path):
    network = published("test_vit", tmp_path / "w.safetensors")  # 160 pixels: 10×10 patches of 16
    with torch.no_grad():
        network.pos_embed[:, 1:] = 0.75
        network.pos_embed[:, :1] = 2.0
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    net = net_of(options=VIT, size=96, **RGB)
    loaded = load_weights(net, tmp_path / "w.safetensors")
    assert loaded.adapted == ("pos_embed interpolated to 6×6 patches",)
    embeddings = net.backbone.body.pos_embed
    assert embeddings.shape[1] == 37
    torch.testing.assert_close(embeddings[:, 1:], torch.full_like(embeddings[:, 1:], 0.75))
    torch.testing.assert_close(embeddings[:, :1], torch.full_like(embeddings[:, :1], 2.0))


def test_a_patch_that_is_enlarged_with_its_kernel_is_answered_as_before(tmp_path):
    published("test_vit", tmp_path / "w.safetensors")
    net = net_of(options=VIT | {"patch": 24}, size=240)
    loaded = load_weights(net, tmp_path / "w.safetensors")
    assert loaded.adapted == ("patch_embed.proj.weight summed from RGB to grey, resampled to patches of 24 pixels",)
    old = load_file(tmp_path / "w.safetensors")["patch_embed.proj.weight"].sum(1, keepdim=True)
    new = net.backbone.body.patch_embed.proj.weight
    patch = torch.randn(1, 1, 16, 16)
    larger = F.interpolate(patch, size=(24, 24), mode="bicubic", antialias=True)
    torch.testing.assert_close((new * larger).sum((1, 2, 3)), (old * patch).sum((1, 2, 3)), atol=1e-3, rtol=1e-3)


# a bundle


def test_a_bundle_of_8_labels_starts_one_of_11(tmp_path):
    options = {"width": 8, "depth": 1, "dropout": 0.0}
    before = net_of("small_resnet", options, labels=AFFECTNET, seed=1)
    bundle_of(before, "small_resnet", options, tmp_path / "run" / "bundle", labels=AFFECTNET)
    digest = hashlib.sha256((tmp_path / "run/bundle/weights.safetensors").read_bytes()).hexdigest()
    for source in ("run", "run/bundle", "run/bundle/weights.safetensors"):
        after = net_of("small_resnet", options, labels=RAFDB_COMPOUND, seed=2)
        loaded = load_weights(after, tmp_path / source)
        ours, theirs = after.backbone.state_dict(), before.backbone.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours if not key.endswith("_tracked"))
        assert after.heads["expression"].weight.shape[0] == 11
        assert loaded.path == str(tmp_path / "run/bundle/weights.safetensors")
        assert loaded.sha256 == digest
        assert set(loaded.skipped) == {"heads.expression.weight", "heads.expression.bias"}


def test_heads_of_the_same_shape_are_not_taken_either(tmp_path):
    """Their labels may mean something else."""
    before = net_of(seed=1, labels=FERPLUS)
    bundle_of(before, "timm", RESNET, tmp_path / "bundle")
    after = net_of(seed=2, labels=AFFECTNET)
    load_weights(after, tmp_path / "bundle")
    assert not torch.equal(after.heads["expression"].weight, before.heads["expression"].weight)


@pytest.mark.parametrize(("old", "new"), [(None, 6), (6, None)])
def test_a_hidden_layer_on_one_side_only_is_named(old, new, tmp_path):
    before = net_of(options=RESNET | {"hidden": old}, seed=1)
    bundle_of(before, "timm", RESNET | {"hidden": old}, tmp_path / "bundle")
    loaded = load_weights(net_of(options=RESNET | {"hidden": new}), tmp_path / "bundle")
    named = loaded.fresh if new else [key for key in loaded.skipped if key.startswith("hidden.")]
    assert set(named) == {
        "hidden.0.weight",
        *(f"hidden.1.{each}" for each in ("weight", "bias", "running_mean", "running_var")),
    }


# what does not fit


def test_another_architecture_is_refused_with_names_and_shapes(tmp_path):
    published("test_efficientnet", tmp_path / "w.safetensors")
    said = refused(net_of(**RGB), tmp_path / "w.safetensors")
    assert said.startswith(f"model.weights={tmp_path}/w.safetensors must fit the model, got ")
    assert " missing (conv1.0.weight (" in said
    assert " unexpected (blocks.0.0.bn1.bias (" in said
    assert said.endswith("use weights of this architecture with the same options, or model.weights=null")
    assert len(said) < 800


def test_a_wider_network_of_the_same_names_is_refused_with_both_shapes(tmp_path):
    before = net_of("small_resnet", {"width": 8})
    bundle_of(before, "small_resnet", {"width": 8}, tmp_path / "bundle")
    said = refused(net_of("small_resnet", {"width": 16}), tmp_path / "bundle")
    assert "of another shape (features.0.0.weight (8, 1, 5, 5) in place of (16, 1, 5, 5), " in said
    assert "missing" not in said
    assert "unexpected" not in said


def test_a_deeper_network_is_refused(tmp_path):
    """Everything in the file fits, and a part of the network would have stayed as it was."""
    before = net_of("resnet18", {})
    bundle_of(before, "resnet18", {}, tmp_path / "bundle")
    said = refused(net_of(options={"name": "resnet34"}), tmp_path / "bundle")
    assert "80 missing (layer1.2.conv1.weight (64, 64, 3, 3), " in said
    assert ", and 77 more)" in said


def test_a_file_with_one_tensor_too_few_or_too_many_is_refused(resnet, tmp_path):
    tensors = load_file(resnet)
    key = next(key for key in tensors if key.startswith("layer2") and key.endswith("running_mean"))
    save_file({k: v for k, v in tensors.items() if k != key}, tmp_path / "few.safetensors")
    assert f"1 missing ({key} " in refused(net_of(**RGB), tmp_path / "few.safetensors")
    save_file(tensors | {"layer9.weight": torch.zeros(2)}, tmp_path / "many.safetensors")
    assert "got 1 unexpected (layer9.weight (2,)); " in refused(net_of(**RGB), tmp_path / "many.safetensors")


def test_heads_alone_or_nothing_at_all_are_no_weights(tmp_path):
    save_file({"heads.expression.bias": torch.zeros(8)}, tmp_path / "heads.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    for name in ("heads", "empty"):
        assert " missing (conv1.0.weight" in refused(net_of(), tmp_path / f"{name}.safetensors")


def test_position_embeddings_of_no_square_grid_are_refused(tmp_path):
    network = published("test_vit", tmp_path / "w.safetensors")
    save_file(network.state_dict() | {"pos_embed": torch.zeros(1, 1 + 24, 64)}, tmp_path / "w.safetensors")
    assert "pos_embed (1, 25, 64) in place of (1, 10, 64)" in refused(
        net_of(options=VIT, **RGB), tmp_path / "w.safetensors"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, resnet):
    tensors = load_file(resnet)
    tensors["bn1.weight"][1] = value
    save_file(tensors, resnet)
    assert "must be finite, got NaN or infinity in bn1.weight; " in refused(net_of(**RGB), resnet)


# what is no file of weights


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_a_truncated_file_is_refused(keep, resnet):
    content = (resnet).read_bytes()
    (resnet).write_bytes(content[:keep])
    said = refused(net_of(**RGB), resnet)
    assert "must be a whole safetensors file: " in said
    assert said.endswith("; copy it again")


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("name", ["resnet18.pth", "resnet18.pt", "resnet18.bin", "resnet18", "resnet18.safetensors"])
@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_a_pickle_is_not_opened_whatever_its_name(write, name, tmp_path):
    with open(tmp_path / name, "wb") as file:
        write(Bomb(tmp_path / "executed"), file)
    said = refused(net_of(), tmp_path / name)
    assert "safetensors file" in said
    assert not (tmp_path / "executed").exists()


def test_the_way_to_convert_a_pickle_works_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(timm.create_model("test_resnet").state_dict(), "old.pth")
    said = refused(net_of(**RGB), "old.pth")
    code = said.partition('python -c "')[2].removesuffix('"')
    exec(code, {})
    assert load_weights(net_of(**RGB), "old.safetensors").path == "old.safetensors"


def test_a_path_that_leads_nowhere_is_named(tmp_path):
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        assert (
            refused(net_of(), path)
            == f"model.weights must be timm, a .safetensors file or a bundle, got {path}; check the path"
        )


# timm's own


def test_timms_weights_are_loaded_by_its_hub(monkeypatch, tmp_path):
    network = published("test_resnet", tmp_path / "w.safetensors")
    asked = []

    def create_model(name, pretrained=False, **options):
        asked.append((name, pretrained))
        return network

    net = net_of(options=RESNET | {"small_input": True})
    monkeypatch.setattr(timm, "create_model", create_model)
    loaded = load_weights(net, "timm")
    assert asked == [("test_resnet", True)]
    assert loaded.path == "timm/test_resnet.r160_in1k"
    assert len(loaded.sha256) == 64
    assert loaded.adapted == ("conv1.0.weight summed from RGB to grey",)
    torch.testing.assert_close(first_convolution(net).weight, first_convolution(network).weight.sum(1, keepdim=True))


def offline(monkeypatch, tmp_path):
    """As without a network and with nothing in the hub's cache, but at once: the hub's client gives up only later."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.file_download, "HF_HUB_OFFLINE", True, raising=False)


@pytest.mark.parametrize(("name", "options"), [("timm", RESNET), ("resnet18", {}), ("vit_tiny", {"patch": 8})])
def test_without_a_network_the_hubs_own_error_is_one_line(name, options, monkeypatch, tmp_path, caplog):
    offline(monkeypatch, tmp_path)
    said = refused(net_of(name, options), "timm")
    assert said.startswith("cannot download timm's weights of ")
    assert said.endswith("; give model.weights=path.safetensors, or model.weights=null to train from scratch")
    assert not caplog.records


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("No pretrained weights exist")])
def test_any_failure_of_the_hub_is_one_line_and_no_fallback(error, monkeypatch):
    net = net_of()
    monkeypatch.setattr(timm, "create_model", Mock(side_effect=error))
    assert " ".join(str(error).split()) in refused(net, "timm")


def test_a_network_of_our_own_has_no_weights_at_timm():
    assert refused(net_of("small_resnet", {}), "timm") == (
        "model.weights=timm needs a network of timm, got one of ferlab's; give a file, or null"
    )
