"""The methods of the 1998 table that are no networks (nearest neighbours, support vectors, ...), by scikit-learn.

`fit_baseline` fits one of them to a data set and tests it. It returns a `Fit`, as the training of a network does, with
an empty history, since nothing here learns in passes. Methods that scikit-learn does not have (deslanting, tangent
distance, boosting) are left out.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lenet.data import Data
from lenet.training import Fit, rank_errors

Array = npt.NDArray[Any]
Scores = Callable[[Array], Array]
"""A fitted method: images (N, pixels) to scores (N, 10), the highest is the answer."""

NEIGHBOURS = 3
COMPONENTS = 40
CENTRES = 1_000
CENTRES_FROM = 20_000  # images that the centres are sought among; more changes little and takes long


def fit_baseline(name: str, data: Data, seed: int) -> Fit:
    """Fits the method on the training images, and the validation images too where there are none held back.

    **Arguments:**

    - `name`: a key of `BASELINES`. `data`: on the CPU. `seed`: for what the method draws; most draw nothing.
    """
    started = time.perf_counter()
    images, labels = flat(data.train.images), data.train.labels.numpy()
    score = BASELINES[name](images, labels, seed)
    fitted = time.perf_counter()
    scores = torch.from_numpy(np.ascontiguousarray(score(flat(data.test.images)), dtype=np.float64))
    accuracy = float((scores.argmax(1) == data.test.labels).double().mean())
    return Fit(
        test_accuracy=accuracy,
        rejection=rank_errors(scores, data.test.labels),
        train_s=fitted - started,
        evaluate_s=time.perf_counter() - fitted,
    )


def flat(images: Tensor) -> Array:
    """Images as rows of a float32 matrix."""
    rows: Array = images.flatten(1).numpy()
    return rows


def least_squares(images: Array, labels: Array, seed: int) -> Scores:
    """A linear map to +1 for the class and -1 for the others, by least squares."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(images.astype(np.float64), np.eye(10)[labels] * 2 - 1)
    return lambda rows: np.asarray(model.predict(rows.astype(np.float64)))


def knn3(images: Array, labels: Array, seed: int) -> Scores:
    """The majority of 3 neighbours; among equals, and for the order of sureness, the nearer ones count more."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(NEIGHBOURS, algorithm="brute").fit(images, labels)

    def score(rows: Array) -> Array:
        distances, places = model.kneighbors(rows)
        votes = np.zeros((len(rows), 10))
        nearness = 1 / (1 + distances)  # in (0, 1]: a vote more always outweighs it when divided by 4
        for neighbour in range(NEIGHBOURS):
            np.add.at(
                votes,
                (np.arange(len(rows)), labels[places[:, neighbour]]),
                1 + nearness[:, neighbour] / (NEIGHBOURS + 1),
            )
        return votes

    return score


def pca40_quadratic(images: Array, labels: Array, seed: int) -> Scores:
    """All products of pairs of the first 40 principal components, then a linear map by least squares."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    steps = (PCA(COMPONENTS, svd_solver="covariance_eigh"), StandardScaler(), PolynomialFeatures(2))
    model = make_pipeline(*steps, LinearRegression()).fit(images.astype(np.float64), np.eye(10)[labels] * 2 - 1)
    return lambda rows: np.asarray(model.predict(rows.astype(np.float64)))


def rbf1000(images: Array, labels: Array, seed: int) -> Scores:
    """Gaussian units around 1,000 centres found by k-means, then a linear map by least squares."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.linear_model import Ridge
    from sklearn.metrics.pairwise import euclidean_distances

    count = min(CENTRES, len(images) // 2)
    centres = MiniBatchKMeans(count, random_state=seed, n_init=1).fit(images[:CENTRES_FROM]).cluster_centers_
    squares = euclidean_distances(images[:CENTRES_FROM], centres, squared=True)
    width = float(np.median(squares)) / 4

    def units(rows: Array) -> Array:
        distances = euclidean_distances(rows, centres, squared=True).astype(np.float64)
        return np.asarray(np.exp(-distances / width))

    model = Ridge(1e-2).fit(units(images), np.eye(10)[labels] * 2 - 1)
    return lambda rows: np.asarray(model.predict(units(rows)))


def support_vectors(**settings: Any) -> Callable[[Array, Array, int], Scores]:
    """A support vector classifier, one class against another: a class's score is its narrowest decision against any
    other. Votes would leave most answers equally sure.
    """

    def fit_classifier(images: Array, labels: Array, seed: int) -> Scores:
        from sklearn.svm import SVC

        # From 0 to 1, so that kernel and penalty mean the same for every scaling.
        low, high = float(images.min()), float(images.max())
        scale = 1 / (high - low)
        model = SVC(cache_size=500, decision_function_shape="ovo", **settings).fit((images - low) * scale, labels)

        def score(rows: Array) -> Array:
            decisions = model.decision_function((rows - low) * scale)
            scores = np.full((len(rows), 10), np.inf)
            for column, (first, second) in enumerate(itertools.combinations(range(10), 2)):
                scores[:, first] = np.minimum(scores[:, first], decisions[:, column])
                scores[:, second] = np.minimum(scores[:, second], -decisions[:, column])
            return scores

        return score

    return fit_classifier


BASELINES: dict[str, Callable[[Array, Array, int], Scores]] = {
    "least_squares": least_squares,
    "knn3": knn3,
    "pca40_quadratic": pca40_quadratic,
    "rbf1000": rbf1000,
    "svm_poly4": support_vectors(kernel="poly", degree=4, coef0=1.0, C=1.0),
    "svm_gaussian": support_vectors(kernel="rbf", C=5.0),
}
"""Functions that fit a method to images (N, pixels) and labels."""
