from ferlab.labels import RAFDB
from ferlab.spec import ModelSpec
from ferlab.training.card import model_card

PROVENANCE = {
    "dataset": "drawn", "protocol": "drawn faces", "licence": "none", "counts": {"train": 1200}, "data_digest": "0123",
    "selected": "best validation ccc, epoch 3", "seed": 0, "commit": "abc", "command": "ferlab train",
}  # fmt: skip


def card(spec, **more):
    metrics = {"validation/ccc": 0.51234, "train/loss": 0.1}
    return model_card("a run", spec, {"name": "custom_cnn"}, PROVENANCE | more, metrics)


def test_the_card_says_what_each_head_answers_and_where_it_is_weak():
    both = card(ModelSpec(RAFDB, affect=True))
    assert "Labels in order: surprise, fear, disgust, happiness, sadness, anger, neutral. Valence and arousal" in both
    assert "Rare classes" in both
    assert "Extreme valence and arousal" in both
    assert "| ccc | 0.5123 |" in both
    assert "loss" not in both


def test_the_card_is_silent_on_a_head_that_is_not_there():
    affect, labels = card(ModelSpec((), affect=True)), card(ModelSpec(RAFDB))
    assert "Labels in order" not in affect
    assert "Rare classes" not in affect
    assert "gray, trained from scratch. Valence and arousal, each from -1 to 1.\n" in affect
    assert "alence" not in labels


def test_the_card_says_how_the_faces_came_together_or_that_it_does_not_know():
    assert "- The faces were drawn by a program.\n" in card(ModelSpec(RAFDB), origin="drawn by a program")
    assert "- How the faces came together is not stated" in card(ModelSpec(RAFDB))


def test_the_card_says_who_taught():
    teacher = {"path": "runs/big", "model": "se_resnet", "dataset": "ferplus", "spec_digest": "4567", "sha256": "89"}
    said = "trained from scratch, distilled from runs/big (se_resnet, trained on ferplus, specification 4567)"
    assert said in card(ModelSpec(RAFDB), teacher=teacher)
    assert "distilled" not in card(ModelSpec(RAFDB), teacher=None)
