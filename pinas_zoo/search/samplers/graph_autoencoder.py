"""A variational graph autoencoder of architectures, which learns from architectures alone (arch2vec, sec. 3.1).

Yan et al., "Does Unsupervised Architecture Representation Learning Help Neural Architecture Search?", NeurIPS 2020. An
architecture is a graph: one node for the input, one for each searched layer, one for the output. A node is labelled
with its operation. The encoder is a graph isomorphism network (Xu et al., ICLR 2019)::

    H_k = MLP_k((1 + e_k) H_{k-1} + (A + A^T) H_{k-1})    A: adjacency; edges pass messages both ways (eq. 1)
    z ~ N(mean(H), std(H)^2)                              for each node (eq. 2)

The decoder recovers the operation of a node from its z by a linear layer, and an edge from the product of two z
(eqs. 3 and 4). The loss is the cross-entropy of both plus a Kullback-Leibler divergence (eq. 5). An architecture's
embedding is the mean of its nodes' means.

These values are from the released code (MSU-MLSys-Lab/arch2vec, Apache 2.0): perceptrons of two layers, each with batch
norm; Adam; gradients clipped at a norm of 5; the weight of the divergence, one over the number of nodes in a batch; the
mean over nodes. There, the standard deviation is the exponential of the encoder's second output, as here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.terminal import progress

CLIP = 5.0  # largest norm of a gradient
CHUNK = 2048  # architectures that are encoded at a time


@dataclass(frozen=True)
class AutoencoderOptions:
    """Size and training of the autoencoder. The defaults are the paper's and its released code's.

    Attributes:
        latent: Dimension of z.
        hidden: Width of the encoder.
        layers: Layers of the encoder, of which the last is linear.
        dropout: Fraction of z that the decoder does not get in training.
        epochs: Passes over the architectures.
        batch_size: Architectures of a step.
        lr: Adam's learning rate.
    """

    latent: int = 16
    hidden: int = 128
    layers: int = 5
    dropout: float = 0.3
    epochs: int = 10
    batch_size: int = 32
    lr: float = 1e-3


class GraphAutoencoder(nn.Module):
    """Encoder and decoder of graphs that share their edges and differ in the operations of their nodes.

    Args:
        edges: Pairs of nodes, from the first to the second.
        nodes: Number of nodes.
        operations: Number of labels.
        options: Size of the networks.
    """

    adjacency: torch.Tensor
    pairs: torch.Tensor

    def __init__(self, edges: Sequence[tuple[int, int]], nodes: int, operations: int, options: AutoencoderOptions):
        super().__init__()
        self.operations, self.dropout = operations, options.dropout
        adjacency = torch.zeros(nodes, nodes)
        for source, to in edges:
            adjacency[source, to] = adjacency[to, source] = 1.0
        self.register_buffer("adjacency", adjacency)  # A + A^T
        pairs = torch.triu_indices(nodes, nodes, 1)
        self.register_buffer("pairs", pairs)  # 2 x pairs of different nodes
        widths = [operations, *[options.hidden] * (options.layers - 1)]
        self.layers = nn.ModuleList(perceptron(before, after) for before, after in itertools.pairwise(widths))
        self.eps = nn.Parameter(torch.zeros(len(self.layers)))
        self.mean = nn.Linear(widths[-1], options.latent)
        self.log_std = nn.Linear(widths[-1], options.latent)
        self.operation = nn.Linear(options.latent, operations)

    def encode(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and logarithm of the standard deviation of z: N x nodes to N x nodes x latent, twice."""
        x = F.one_hot(labels, self.operations).to(self.mean.weight)  # N x nodes x operations
        for layer, eps in zip(self.layers, self.eps, strict=True):
            x = (1 + eps) * x + self.adjacency @ x
            x = layer(x.flatten(0, 1)).unflatten(0, labels.shape)  # N x nodes x hidden
        return self.mean(x), self.log_std(x)

    def decode(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of operations, N x nodes x operations, and of edges, N x pairs, from N x nodes x latent."""
        z = F.dropout(z, self.dropout, self.training)
        first, second = self.pairs
        return self.operation(z), (z @ z.transpose(1, 2))[:, first, second]

    def edges(self) -> torch.Tensor:
        """Whether there is an edge between the nodes of each pair."""
        return self.adjacency[self.pairs[0], self.pairs[1]]

    def loss(self, labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch of architectures, N x nodes."""
        mean, log_std = self.encode(labels)
        operations, edges = self.decode(mean + log_std.exp() * torch.randn_like(mean))
        recovered = F.cross_entropy(operations.flatten(0, 1), labels.flatten())
        recovered = recovered + F.binary_cross_entropy_with_logits(edges, self.edges().expand_as(edges))
        divergence = 0.5 * (mean**2 + (2 * log_std).exp() - 2 * log_std - 1).sum(2).mean()  # from N(0, 1), of a node
        return recovered + divergence / labels.numel()

    @torch.no_grad()
    def embed(self, labels: torch.Tensor) -> torch.Tensor:
        """Embeddings of architectures, N x nodes to N x latent."""
        self.eval()
        return torch.cat([self.encode(part)[0].mean(1) for part in labels.split(CHUNK)])

    @torch.no_grad()
    def reconstruction(self, labels: torch.Tensor) -> tuple[float, float]:
        """Shares of architectures, N x nodes, whose operations and whose edges the means of z recover without error."""
        self.eval()
        operations, edges = self.decode(self.encode(labels)[0])
        right = (operations.argmax(2) == labels).all(1), ((edges > 0) == (self.edges() > 0)).all(1)
        return right[0].double().mean().item(), right[1].double().mean().item()


def perceptron(before: int, after: int) -> nn.Sequential:
    """Two linear layers, each with batch norm and ReLU."""
    first = nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU())
    return nn.Sequential(*first, nn.Linear(after, after), nn.BatchNorm1d(after), nn.ReLU())


def pretrained(
    edges: Sequence[tuple[int, int]],
    labels: torch.Tensor,
    operations: int,
    options: AutoencoderOptions,
    seed: int,
    bar: bool = False,
) -> GraphAutoencoder:
    """Train an autoencoder on architectures. The same seed gives the same one.

    Args:
        edges: Pairs of nodes of every architecture.
        labels: Operations of the nodes of each architecture, N x nodes.
        operations: Number of labels.
        options: Size and training.
        seed: Seed of weights, order, dropout and samples of z. Torch's global generators are left as they were.
        bar: Whether to show progress on stderr.
    """
    steps = options.epochs * math.ceil(len(labels) / options.batch_size)
    with torch.random.fork_rng(devices=[]), progress(steps, label="arch2vec", enabled=bar) as meter:
        torch.default_generator.manual_seed(seed)  # the CPU's, which is forked; torch.manual_seed seeds GPUs, too
        model = GraphAutoencoder(edges, labels.shape[1], operations, options).train()
        adam = torch.optim.Adam(model.parameters(), lr=options.lr, fused=True)
        for _ in range(options.epochs):
            for batch in labels[torch.randperm(len(labels))].split(options.batch_size):
                adam.zero_grad()
                model.loss(batch).backward()
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                adam.step()
                meter.update()
    return model.eval()
