"""Block-wise distillation as in DNA (Li et al., CVPR 2020): a stage learns a timm teacher's next map from its last."""

import timm
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods import Method
from pinas_zoo.search.scorers import Score


class BlockwiseMethod(Method):
    title = "Block-wise distillation"
    scores_paths = True

    def __init__(self, space, num_classes, seed=0, teacher="test_resnet", widths=(32, 48, 192, 96)):
        super().__init__()
        self.space, self.seed, self.teacher_name = space, seed, teacher
        self.supernet = space.supernet()
        chs = self.supernet.stage_channels  # widths: the teacher's
        pairs = list(zip(widths, chs, strict=True))
        self.enter = nn.ModuleList([nn.Identity(), *(nn.Conv2d(w, c, 1) for w, c in pairs[:-1])])
        self.leave = nn.ModuleList(nn.Conv2d(c, w, 1) for w, c in pairs)

    learned = property(lambda self: self.supernet)

    def prepare(self):
        teacher = timm.create_model(self.teacher_name, features_only=True, out_indices=(1, 2, 3, 4))
        self.teacher = [teacher.eval().requires_grad_(False).to(self.leave[0].weight.device)]  # no submodule

    def sample_paths(self, step):
        return self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS))

    def block_losses(self, images, path):
        with torch.no_grad():
            maps = self.teacher[0](images)
        found = []
        for k, (before, after) in enumerate(zip((images, *maps), maps, strict=False)):
            out = self.leave[k](self.supernet.stage(k, self.enter[k](before), path))
            found.append(F.mse_loss(out, F.adaptive_avg_pool2d(after, out.shape[-2:])) / after.var())
        return torch.stack(found)  # stages

    def losses(self, batch, step, phase):
        (path,) = self.sample_paths(step)
        return {"loss": self.block_losses(batch.views[:, 0], path).sum()}

    def scorer(self, data):
        method = self

        class BlockScorer:
            needs = frozenset({"supernet"})

            @torch.no_grad()
            def scores(self, paths):
                batch = next(iter(data.held_out.batches(data.batch_size)))
                images = data.normalise(batch["pixels"])
                losses = [float(method.train().block_losses(images, path).sum()) for path in paths]
                return [Score(-loss, loss) for loss in losses]

        return BlockScorer()
