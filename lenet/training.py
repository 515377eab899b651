"""One training step on every backend, training from the first epoch to the last, and evaluation.

A network, a recipe and tensors that are resident on the device go in; losses, accuracies, seconds and a trained network come
out. Nothing here reads files, prints or times single steps.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lenet.data import Data, Split
from lenet.variant import Recipe
