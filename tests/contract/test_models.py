"""Every family of the model zoo keeps the same promises, whatever its input."""

import inspect
import re

import pytest
import torch
import yaml

from ferlab.catalogue import conf_dir
from ferlab.errors import ConfigError
from ferlab.labels import FERPLUS
from ferlab.models import BUILDERS, build
from ferlab.spec import ModelSpec
from ferlab.training.build import input_of
from ferlab.training.config import ModelConfig

SMALL = {
    "custom_cnn": {"widths": [8, 8, 16], "hidden": 16, "dropout": 0.5},
    "mlp": {"widths": [32, 16], "dropout": 0.3},
    "mobilenetv2": {"small_input": False, "hidden": 32, "dropout": 0.3},
    "resnet18": {"small_input": False, "hidden": None, "dropout": 0.2},
    "se_resnet": {"width": 8, "depth": 1, "stem_stride": 2, "reduction": 4, "hidden": 16, "dropout": [0.5, 0.3]},
    "small_resnet": {"width": 8, "depth": 2, "dropout": 0.2},
    "timm": {"name": "test_efficientnet", "small_input": True, "hidden": 16, "dropout": 0.2},  # 0.4 M parameters
    "vit_tiny": {"patch": 16, "hidden": None, "dropout": 0.1, "drop_path": 0.0},
}
INPUTS = [(48, "gray"), (48, "rgb"), (96, "gray")]
RGB = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

models = pytest.mark.parametrize("name", sorted(BUILDERS))
inputs = pytest.mark.parametrize(("size", "colour"), INPUTS)


def spec_of(size=48, colour="gray", affect=True, expression=FERPLUS):
    return ModelSpec(expression, affect, size, colour, **(RGB if colour == "rgb" else {}))


def small(name, spec=None, seed=0):
    torch.manual_seed(seed)
    return build(spec or spec_of(), name, SMALL[name])


def faces(spec, n=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, spec.channels, spec.size, spec.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def answers(net, images):
    with torch.inference_mode():
        return net.eval()(images)


def options_in_yaml(name):
    return yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text())


def spec_in_yaml(name):
    config = options_in_yaml(name)
    return ModelSpec(
        FERPLUS, False, colour=config["colour"], interpolation=config["interpolation"],
        **input_of(ModelConfig(**config)),
    )  # fmt: skip


def test_the_small_options_here_cover_the_zoo():
    assert set(SMALL) == set(BUILDERS)


@models
@inputs
def test_each_head_answers_in_its_shape_and_range(name, size, colour):
    spec = spec_of(size, colour)
    outputs = answers(small(name, spec), faces(spec))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {"expression": (4, 8), "affect": (4, 2)}
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in outputs.values())
    assert outputs["affect"].abs().max() <= 1
    assert outputs["expression"].std(dim=0).min() > 0  # the answer depends on the face


@models
@pytest.mark.parametrize(
    ("expression", "affect", "keys"),
    [(FERPLUS, False, {"expression"}), ((), True, {"affect"}), (("anger", "fear"), True, {"expression", "affect"})],
)
def test_only_the_heads_of_the_specification_are_there(name, expression, affect, keys):
    spec = spec_of(affect=affect, expression=expression)
    net = small(name, spec)
    outputs = answers(net, faces(spec))
    assert set(outputs) == set(net.heads) == keys
    assert "expression" not in keys or outputs["expression"].shape == (4, len(expression))


@models
def test_affect_stays_in_its_range_for_any_weights(name):
    net = small(name)
    with torch.no_grad():
        net.heads["affect"].weight *= 1000
    assert answers(net, faces(spec_of()))["affect"].abs().max() <= 1


@models
@inputs
def test_every_parameter_gets_a_finite_gradient(name, size, colour):
    spec = spec_of(size, colour)
    check_gradients(small(name, spec), faces(spec, n=8))


def check_gradients(net, images):
    for parameter in net.parameters():
        if not parameter.any():  # a residual branch may start at zero, and what is in it then gets none yet
            torch.nn.init.uniform_(parameter)
    outputs = net.train()(images)
    (outputs["expression"].log_softmax(1)[:, 0].sum() + outputs["affect"].sum()).backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@models
def test_a_large_picture_fits(name):
    spec = spec_of(224, "rgb")
    check_gradients(small(name, spec), faces(spec, n=2))


@models
def test_one_face_is_a_batch_to_train_on(name):
    """An epoch's last batch may hold no more, and one face has no variance to normalise by."""
    outputs = small(name).train()(faces(spec_of(), n=1))
    assert all(value.isfinite().all() for value in outputs.values())


@models
def test_the_seed_decides_the_first_weights(name):
    first, again, other = (small(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@models
@inputs
def test_saved_weights_answer_bit_for_bit_alike(name, size, colour, tmp_path):
    spec = spec_of(size, colour)
    trained, images = small(name, spec), faces(spec)
    trained.train()(images)  # moves the batch statistics, which must travel too
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    other = small(name, spec, seed=99)
    before = answers(other, images)
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    expected, after = answers(trained, images), answers(other, images)
    for key in expected:
        assert torch.equal(after[key], expected[key])
        assert not torch.equal(before[key], expected[key])


@models
@inputs
def test_the_answer_for_a_face_does_not_depend_on_its_neighbours(name, size, colour):
    spec = spec_of(size, colour)
    net, images = small(name, spec), faces(spec, n=5)
    together = answers(net, images)
    strangers = torch.cat([images[2:3], faces(spec, n=4, seed=7)])
    for key in together:
        torch.testing.assert_close(answers(net, images[2:3])[key][0], together[key][2], atol=1e-5, rtol=0)
        torch.testing.assert_close(answers(net, strangers)[key][0], together[key][2], atol=1e-5, rtol=0)


@models
@inputs
def test_bytes_and_floats_of_the_same_value_give_the_same_answer(name, size, colour):
    spec = spec_of(size, colour)
    net, images = small(name, spec), faces(spec)
    for key, value in answers(net, images).items():
        assert torch.equal(answers(net, images.float())[key], value)


@models
@inputs
def test_the_memory_format_does_not_matter(name, size, colour):
    spec = spec_of(size, colour)
    net, images = small(name, spec), faces(spec)
    plain = answers(net, images)
    net.to(memory_format=torch.channels_last)
    other = answers(net, images.contiguous(memory_format=torch.channels_last))
    for key in plain:
        torch.testing.assert_close(other[key], plain[key], atol=1e-5, rtol=1e-4)


@models
@inputs
def test_bfloat16_agrees_where_the_margin_is_clear(name, size, colour):
    spec = spec_of(size, colour)
    net, images = small(name, spec), faces(spec, n=16)
    exact = answers(net, images)["expression"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = {key: value.float() for key, value in answers(net, images).items()}
    assert all(value.isfinite().all() for value in rounded.values())
    top = exact.topk(2).values
    clear = top[:, 0] - top[:, 1] > 0.05 * exact.std(dim=1)
    assert clear.sum() >= 4
    assert torch.equal(rounded["expression"].argmax(1)[clear], exact.argmax(1)[clear])


def test_normalisation_is_inside_the_network():
    spec = spec_of(colour="rgb")
    net = small("small_resnet", spec)
    seen = []
    net.backbone.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    answers(net, torch.full((1, 3, 48, 48), 51))
    expected = [(0.2 - mean) / std for mean, std in zip(RGB["mean"], RGB["std"], strict=True)]  # 51 / 255 = 0.2
    torch.testing.assert_close(seen[0][0, :, 7, 9], torch.tensor(expected))


@models
def test_the_yaml_and_the_builder_agree_on_every_option(name):
    config = options_in_yaml(name)
    assert config["name"] == name
    parameters = inspect.signature(BUILDERS[name]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    assert config["options"] == plain

    spec = spec_in_yaml(name)
    configured, default = build(spec, name, config["options"]), build(spec, name, {})
    shapes = {key: value.shape for key, value in configured.state_dict().items()}
    assert shapes == {key: value.shape for key, value in default.state_dict().items()}
    assert answers(configured, faces(spec, n=2))["expression"].shape == (2, 8)


@models
def test_the_number_of_parameters_is_what_the_yaml_says(name):
    stated = re.search(r"([0-9.]+) M parameters", (conf_dir() / "model" / f"{name}.yaml").read_text())
    if stated:
        parameters = sum(parameter.numel() for parameter in build(spec_in_yaml(name), name, {}).parameters())
        assert f"{parameters / 1e6:.1f}" == stated[1]


def test_the_number_of_parameters_by_hand():
    # 3×3 kernels without bias, two numbers a batch-norm channel; 6×6×128 features -> 128 -> 8 classes.
    blocks = 9 * (1 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128)
    expected = blocks + (6 * 6 * 128 + 1) * 128 + (128 + 1) * 8
    net = build(spec_of(affect=False), "custom_cnn", {})
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match=r"^unknown model 'se_resnt'; did you mean 'se_resnet'\?$"):
        build(spec_of(), "se_resnt", {})


@models
def test_an_unknown_option_names_the_nearest(name):
    with pytest.raises(ConfigError, match=rf"^unknown option 'dropuot' of model {name}; did you mean 'dropout'\?$"):
        build(spec_of(), name, {"dropuot": 0.1})


@pytest.mark.parametrize("option", ["channels", "size"])
def test_what_the_specification_fixes_is_no_option(option):
    with pytest.raises(ConfigError, match=f"unknown option '{option}' of model small_resnet; one of: width, "):
        build(spec_of(), "small_resnet", {option: 3})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("custom_cnn", {"widths": []}),
        ("custom_cnn", {"widths": 32}),
        ("custom_cnn", {"dropout": 2}),
        ("se_resnet", {"dropout": 0.5}),
        ("se_resnet", {"reduction": 0}),
        ("se_resnet", {"width": -8}),
        ("small_resnet", {"width": "wide"}),
        ("small_resnet", {"depth": 1.5}),
    ],
)
def test_an_option_of_no_use_is_one_line(name, options):
    with pytest.raises(ConfigError, match=f"^cannot build model {name} ") as caught:
        build(spec_of(), name, options)
    assert f"{next(iter(options.values()))!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_too_small_for_the_blocks_says_so():
    with pytest.raises(ConfigError, match=r"model\.size must be at least 16 for 4 blocks, got 8"):
        build(spec_of(8), "custom_cnn", {"widths": [4, 4, 4, 4]})
