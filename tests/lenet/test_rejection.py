"""The places of a network's errors among its answers, least sure first."""

import torch

from lenet.rejection import rank_errors


def test_errors_are_placed_by_margin_and_by_confidence():
    # Margins 3, 0.5, 2, 1; the second and the third are wrong.
    scores = torch.tensor([[3.0, 0.0, -9.0], [0.0, 0.5, -9.0], [2.0, 0.0, -9.0], [1.0, 0.0, -9.0]])
    labels = torch.tensor([0, 0, 1, 0])
    assert rank_errors(scores, labels) == {"margin": [0, 2], "confidence": [0, 2]}


def test_confidence_looks_at_all_classes_where_the_margin_looks_at_two():
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.0, -9.0]])  # the first has the larger margin, and two rivals
    assert rank_errors(scores, torch.tensor([1, 0])) == {"margin": [1], "confidence": [0]}


def test_sure_answers_stay_in_order_where_a_softmax_would_be_1():
    scores = torch.tensor([[60.0, 0.0], [50.0, 0.0], [55.0, 0.0]])
    assert rank_errors(scores, torch.tensor([0, 1, 0])) == {"margin": [0], "confidence": [0]}
    assert rank_errors(scores, torch.tensor([1, 0, 0])) == {"margin": [2], "confidence": [2]}


def test_among_equals_the_wrong_ones_count_as_the_surest():
    scores = torch.tensor([[1.0, 0.0]] * 4)
    assert rank_errors(scores, torch.tensor([1, 0, 1, 0]))["margin"] == [2, 3]
