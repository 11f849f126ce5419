"""Muon for the matrices inside the layers, AdamW for everything else.

Muon makes each update orthogonal before it is applied, which learns from fewer tokens than AdamW alone.
PyTorch's own version computes in bfloat16, which is slow on a CPU without support for it, so here is one in
float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Optimizer:
    """Both optimizers behind one learning-rate factor."""

    def __init__(self, model: nn.Module, muon_rate: float, adam_rate: float) -> None:
        named = list(model.named_parameters())
        self._rate = muon_rate
        self._matrices = [p for name, p in named if p.ndim == 2 and "layers" in name]
        self._momenta = [torch.zeros_like(p) for p in self._matrices]
        rest = [p for name, p in named if p.ndim != 2 or "layers" not in name]
        self._adam_rate = adam_rate
        self._adam = torch.optim.AdamW(rest, lr=adam_rate, betas=(0.9, 0.97), weight_decay=0.0, fused=True)

    def step(self, factor: float) -> None:
        """Apply the gradients with the learning rates times `factor`, and clear them."""
        for group in self._adam.param_groups:
            group["lr"] = self._adam_rate * factor
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            self._step_matrices(factor)

    def _step_matrices(self, factor: float) -> None:
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for matrix, momentum in zip(self._matrices, self._momenta, strict=True):
            if matrix.grad is not None:
                momentum.lerp_(matrix.grad, 0.05)
                update = matrix.grad.lerp(momentum, 0.95)
                by_shape.setdefault(tuple(matrix.shape), []).append((matrix, update))
                matrix.grad = None
        for (rows, columns), pairs in by_shape.items():
            updates = orthogonal(torch.stack([update for _, update in pairs]))
            scale = self._rate * factor * math.sqrt(max(1.0, rows / columns))
            for (matrix, _), update in zip(pairs, updates, strict=True):
                matrix.mul_(1 - 0.02 * self._rate * factor).sub_(update, alpha=scale)


def orthogonal(matrices: Tensor, rounds: int = 4) -> Tensor:
    """Push the singular values of each matrix of a stack towards 1 (Newton and Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
