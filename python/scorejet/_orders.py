"""Scores of the second and third order in their structures, over flat samples of D numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class SecondOrder:
    """The Hessian of log p_sigma: `matrix`, or diag(`diagonal`) + `factor` `factor`^T.

    Attributes
    ----------
    diagonal : [B, D], or None for a dense one.
    factor : [B, D, rank], or None without one.
    matrix : [B, D, D], or None for a structured one.
    """

    diagonal: Tensor | None = None
    factor: Tensor | None = None
    matrix: Tensor | None = None

    def dense(self) -> Tensor:
        """[B, D, D]"""
        if self.matrix is not None:
            return self.matrix
        assert self.diagonal is not None
        diagonal = torch.diag_embed(self.diagonal)
        if self.factor is None:
            return diagonal
        return diagonal + self.factor @ self.factor.transpose(1, 2)

    def apply(self, v: Tensor) -> Tensor:
        """The product with one vector a sample, v [B, D], without the matrix."""
        if self.matrix is not None:
            return (self.matrix @ v.unsqueeze(-1)).squeeze(-1)
        assert self.diagonal is not None
        result = self.diagonal * v
        if self.factor is None:
            return result
        inner = self.factor.transpose(1, 2) @ v.unsqueeze(-1)
        return result + (self.factor @ inner).squeeze(-1)


@dataclass
class ThirdOrder:
    """Third derivatives of log p_sigma: `tensor`, or sum_j weights_j w_j^3 + diag3(`diagonal`),
    w_j the columns of `factor`.

    Attributes
    ----------
    diagonal : [B, D], or None for a dense one.
    weights, factor : [B, terms] and [B, D, terms], or None without them.
    tensor : [B, D, D, D], or None for a structured one.
    """

    diagonal: Tensor | None = None
    weights: Tensor | None = None
    factor: Tensor | None = None
    tensor: Tensor | None = None

    def dense(self) -> Tensor:
        """[B, D, D, D]"""
        if self.tensor is not None:
            return self.tensor
        assert self.diagonal is not None
        dense = torch.diag_embed(torch.diag_embed(self.diagonal))
        if self.factor is None or self.weights is None:
            return dense
        weighed = self.weights.unsqueeze(1) * self.factor
        return dense + torch.einsum("nij,nkj,nlj->nikl", weighed, self.factor, self.factor)


@dataclass
class Jet:
    """All orders at once: `s1` of x's shape, `s2` and `s3` where they were asked for."""

    s1: Tensor
    s2: SecondOrder | None = None
    s3: ThirdOrder | None = None
