"""Steps that the tools and commands share: read a config, start a run, load a trained model for inference."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from pinas_zoo.config_files import find_config
from pinas_zoo.engine import distributed
from pinas_zoo.engine.python_config import read_python_config
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.made_with import made_with
from pinas_zoo.openmmlab.checkpoints import read_weights, state_dict_of
from pinas_zoo.openmmlab.data_checks import check_data, datasets
from pinas_zoo.openmmlab.failures import in_one_line
from pinas_zoo.openmmlab.finite_hook import FiniteNumbersHook
from pinas_zoo.openmmlab.loader_checks import fit_loaders
from pinas_zoo.openmmlab.resume import checkpoint_to_resume
from pinas_zoo.openmmlab.shown_classes import dataset_meta
from pinas_zoo.openmmlab.weight_checks import check_initial_weights
from pinas_zoo.weights.tensors import shape_problems

TASKS = {"mmdet": "detector", "mmseg": "segmenter"}


def read_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """An OpenMMLab config of mmdet or mmseg, by path or by its name in ``configs``, with ``--cfg-options`` merged in.

    Raises:
        UserError: No such file, a config that cannot be read, or one of another library.
    """
    path = find_config(path, "det", "seg")
    try:
        cfg = read_python_config(path)
        if options:
            cfg.merge_from_dict(dict(options))
    except UserError:
        raise
    except Exception as error:  # whatever the config's own lines raise
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"expected an OpenMMLab config in {path}, got {type(error).__name__}: {reason}") from error
    if cfg.get("default_scope") not in TASKS or "model" not in cfg:
        raise UserError(
            f"expected a config with a model and default_scope 'mmdet' or 'mmseg' in {path}, got default_scope "
            f"{cfg.get('default_scope')!r}"
        )
    return cfg


def config_of(args: argparse.Namespace) -> Config:
    """The config of ``args.config``, with ``cfg_options``, ``data_root`` and ``work_dir`` of ``args`` applied.

    Raises:
        UserError: As :func:`read_config`.
    """
    cfg = read_config(args.config, args.cfg_options)
    if args.data_root:
        set_data_root(cfg, args.data_root)
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or str(Path("work_dirs") / Path(args.config).stem)
    return cfg


def set_data_root(cfg: Config, root: str) -> None:
    """Point every data set of a config, those in wrappers too, and the evaluators' annotation files, to another folder.

    Raises:
        UserError: The data sets of a loader are in several folders.
    """
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        parts = list(datasets(cfg, loader))
        olds = {str(part.get("data_root") or "") for part in parts}
        if len(olds) > 1:
            raise UserError(
                f"expected one data_root for --data-root, got {', '.join(sorted(olds))} in {loader}; set each in the "
                "config, or by --cfg-options"
            )
        for part in parts:
            part["data_root"] = root
        evaluators: Any = cfg.get(loader.replace("dataloader", "evaluator"))
        for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            file = Path(evaluator.get("ann_file") or "") if isinstance(evaluator, dict) else Path()
            for old in olds - {""}:
                if file.is_relative_to(old):
                    evaluator["ann_file"] = os.path.join(root, file.relative_to(old))


def start(cfg: Config, launcher: str, mode: str) -> Runner:
    """Check a config, then make its Runner. Processes on CPUs communicate by gloo, also where the config says NCCL.

    Args:
        cfg: With ``work_dir`` and ``load_from`` set.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        mode: ``train`` or ``test``.

    Raises:
        UserError: Data or weights are missing or damaged, or classes do not match the heads or the data.
    """
    init_default_scope(cfg.default_scope)
    loaders = ("train_dataloader", "val_dataloader") if mode == "train" else ("test_dataloader",)
    fit_loaders(cfg, loaders)
    if _first_of_machine():  # the other processes are ended when this one ends
        for note in check_data(cfg, loaders):
            print(note, file=sys.stderr)
    if mode == "train":
        if cfg.get("resume"):
            cfg.load_from = checkpoint_to_resume(Path(cfg.work_dir), cfg.get("load_from"))
            cfg.resume = cfg.load_from is not None
        if _first_of_machine():
            check_initial_weights(cfg)
        cfg.made_with = made_with()  # the run's log, its copy of the config and its checkpoints say it
        _add_hooks(cfg, "ResumeAsDataHook", "BatchOfOneHook", "CollectGarbageHook", FiniteNumbersHook.__name__)
    if cfg.optim_wrapper.get("type") == "AmpOptimWrapper" and mode == "train" and not torch.cuda.is_available():
        raise UserError("expected a GPU for mixed precision (--amp), found none; leave out --amp")
    cfg.launcher = launcher
    if launcher != "none" and not torch.cuda.is_available():
        cfg.env_cfg.dist_cfg = ConfigDict(backend="gloo")
        cfg.setdefault("model_wrapper_cfg", ConfigDict(type="MMDistributedDataParallel", broadcast_buffers=False))
        cfg.model_wrapper_cfg.device_ids = None
        if launcher in ("pytorch", "slurm"):
            distributed.start_gloo(launcher)
    return Runner.from_cfg(cfg)


def run(runner: Runner, mode: str) -> Any:
    """Train or test.

    Raises:
        UserError: A failure that wrong data cause; see :mod:`pinas_zoo.openmmlab.failures`. A loss or a weight that is
            not finite; see :mod:`pinas_zoo.openmmlab.finite_hook`.
    """
    collecting = gc.isenabled()
    if mode == "train":
        gc.disable()  # until CollectGarbageHook; it takes a quarter of the time that mmdet needs to read COCO
    try:
        return runner.train() if mode == "train" else runner.test()
    except UserError:
        raise
    except Exception as error:
        if (message := in_one_line(error)) is None:
            raise
        raise UserError(message) from error
    finally:
        if collecting:
            gc.enable()


@HOOKS.register_module()
class CollectGarbageHook(Hook):
    """Turns Python's garbage collector on again, after the data sets have been read and before workers start."""

    def before_train(self, runner: Runner) -> None:
        gc.enable()


def _first_of_machine() -> bool:
    """Whether this process is the first one that a launcher started on this machine, or the only one."""
    ranks = (os.environ.get(name) for name in ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def _add_hooks(cfg: Config, *names: str) -> None:
    hooks = list(cfg.get("custom_hooks") or ())
    known = {hook.get("type") for hook in hooks if isinstance(hook, Mapping)}
    cfg.custom_hooks = [*hooks, *(dict(type=name) for name in names if name not in known)]


def load_model(cfg: Config, weights: str | None, device: str) -> Any:
    """A detector or segmenter in eval mode, with the ``cfg`` and ``dataset_meta`` that mmdet and mmseg expect.

    Args:
        cfg: Read by :func:`read_config`. Its ``init_cfg`` are ignored.
        weights: A checkpoint of a run of this config; None: random weights.
        device: Such as ``cpu`` or ``cuda``.

    Raises:
        WrongShapes: The weights are those of another model.
        UserError: The weights are missing or cannot be read, or the device is not available.
    """
    init_default_scope(cfg.default_scope)
    registry = library_registry(cfg.default_scope)
    cfg = cfg.copy()
    if "pretrained" in cfg.model:
        cfg.model.pretrained = None
    if "backbone" in cfg.model:
        cfg.model.backbone.init_cfg = None
    model: Any = revert_sync_batchnorm(registry.MODELS.build(cfg.model))
    content: dict[str, Any] = {}
    if weights is not None:
        content = read_weights(weights)
        state = state_dict_of(content, weights)
        expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
        problems = shape_problems({name: tuple(t.shape) for name, t in state.items()}, expected)
        if problems:
            raise WrongShapes(
                f"expected the weights of this config's whole model in {weights}, got " + "; ".join(problems) + "; "
                "give the config that they were trained with (the same backbone, classes and heads)"
            )
        model.load_state_dict({name: state[name] for name in expected})
    part = next(datasets(cfg, "test_dataloader"))
    known = {**registry.DATASETS.get(part.type).METAINFO, **(part.get("metainfo") or {})}
    model.dataset_meta = dataset_meta(known, content, cfg.model, weights or "the config")
    model.cfg = cfg
    try:
        if torch.device(device).type == "meta":
            raise RuntimeError("it has no memory")
        return model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"expected a device for --device, got {device!r}: {str(error).splitlines()[0]}") from None


def library_registry(scope: str) -> Any:
    """The module ``registry`` of mmdet or mmseg, after its models and visualizers have been registered."""
    if scope == "mmdet":
        import mmdet.models
        import mmdet.visualization  # noqa: F401
        from mmdet import registry
    else:
        import mmseg.datasets
        import mmseg.models
        import mmseg.visualization  # noqa: F401
        from mmseg import registry
    return registry


class _Predict(nn.Module):
    """A detector or segmenter as a module from normalised images, N x 3 x H x W, to predictions."""

    def __init__(self, model: Any, scope: str):
        super().__init__()
        self.model, self.scope = model, scope

    def forward(self, images: torch.Tensor) -> Any:
        size = tuple(images.shape[-2:])
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0))
        if self.scope == "mmdet":
            from mmdet.structures import DetDataSample as Sample
        else:
            from mmseg.structures import SegDataSample as Sample
        return self.model.predict(images, [Sample(metainfo=meta) for _ in images])


def predictor(model: Any) -> nn.Module:
    """The model of :func:`load_model` as a module that takes images alone, for counting and timing."""
    return _Predict(model, model.cfg.default_scope)
