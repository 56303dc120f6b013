"""Layers that several families share."""

import pytest
import torch

from ferlab.errors import ConfigError
from ferlab.models.net import BatchNorm, dense_bn


def test_one_face_is_normalised_by_the_running_statistics_and_leaves_them():
    norm = BatchNorm(2).train()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    result = norm(torch.tensor([[3.0, 5.0]]))
    torch.testing.assert_close(result, torch.tensor([[1.0, 1.0]]))  # (3 - 1) / 2, (5 - 2) / 3
    assert norm.running_mean.tolist() == [1, 2]
    assert norm.running_var.tolist() == [4, 9]


def test_more_faces_are_normalised_as_ever():
    faces = torch.randn(5, 3)
    ours, theirs = BatchNorm(3).train(), torch.nn.BatchNorm1d(3).train()
    assert torch.equal(ours(faces), theirs(faces))
    assert torch.equal(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("width", [0, -1])
def test_a_layer_without_features_is_refused(width):
    with pytest.raises(ConfigError, match=f"must have 1 or more features, got {width}"):
        dense_bn(4, width)
