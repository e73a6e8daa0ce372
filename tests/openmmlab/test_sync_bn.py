"""Synchronised batch norm over two gloo processes is batch norm over both batches: gradients and statistics too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing, nn

pytest.importorskip("mmdet")
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS

from pinas_zoo.openmmlab.sync_bn import SyncBN
from tests.golden import seeded_input
from tests.networks import TINY

BATCHES = (2, 3)  # images of the ranks


def network(kind: str, with_cp: bool) -> Any:
    torch.manual_seed(0)
    return MODELS.build(
        dict(type="PiNAS", arch="3013", **TINY, norm_cfg=dict(type=kind), with_cp=with_cp, zero_init_last=False)
    ).double()


def step(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """One training step: gradients, buffers and the images' gradient."""
    images = images.clone().requires_grad_()
    out = model.train()(images)
    sum(t.square().sum() for t in (out if isinstance(out, tuple) else (out,))).backward()  # type: ignore[union-attr]
    result = {f"grad {k}": p.grad for k, p in model.named_parameters()} | dict(model.named_buffers())
    return {**result, "images": images.grad}  # type: ignore[dict-item]


def layers() -> list[tuple[nn.Module, nn.Module, tuple[int, ...]]]:
    """Synchronised and plain layer or network, and the shape of an image."""
    plain: Any = [nn.BatchNorm2d(4), nn.BatchNorm2d(4, momentum=None, affine=False)]
    synced: Any = [SyncBN(4), SyncBN(4, momentum=None, affine=False)]
    pairs = [(s.double(), p.double(), (4, 5, 6)) for s, p in zip(synced, plain, strict=True)]
    return pairs + [(network("SyncBN", with_cp), network("BN", False), (3, 64, 64)) for with_cp in (False, True)]


def worker(rank: int, folder: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = []
    for synced, _, shape in layers():
        images = seeded_input((sum(BATCHES), *shape), 7).double().split(BATCHES)[rank]
        results.append([step(synced, images) for _ in range(2)][-1])  # twice: running statistics of the second step
        synced.eval()(images)
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_batch(tmp_path: Path) -> None:
    multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for i, (_, plain, shape) in enumerate(layers()):
        images = seeded_input((sum(BATCHES), *shape), 7).double()
        expected = [step(plain, images) for _ in range(2)][-1]
        assert torch.allclose(torch.cat([r[i]["images"] for r in ranks]), expected["images"], rtol=1e-7, atol=1e-9)
        for name, tensor in expected.items():
            if name.startswith("grad"):  # each rank has its images' share
                assert torch.allclose(ranks[0][i][name] + ranks[1][i][name], tensor, rtol=1e-7, atol=1e-7), name
            elif name != "images":
                assert all(torch.allclose(r[i][name].double(), tensor.double(), rtol=1e-9) for r in ranks), name


def test_one_process_is_plain_batch_norm_and_heads_find_it() -> None:
    name, layer = build_norm_layer(dict(type="SyncBN", requires_grad=True), 4)
    assert name == "bn"
    assert isinstance(layer, SyncBN) or torch.cuda.is_available()
    plain = nn.BatchNorm2d(4)
    images = seeded_input((3, 4, 5, 6), 0)
    ours, theirs = step(layer, images), step(plain, images)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    assert torch.equal(layer.eval()(images), plain.eval()(images))
