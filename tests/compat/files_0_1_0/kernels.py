"""The example of version 0.1.0's docs, as it was."""

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from pinas_zoo.search.space import SearchSpace, Supernet

KERNELS, WIDTH = (1, 3, 5), 16
default_cfgs = generate_default_cfgs({"kernel_net": dict(input_size=(3, 32, 32), first_conv="stem", classifier="fc")})


def layer(kernel):
    return nn.Sequential(nn.Conv2d(WIDTH, WIDTH, kernel, padding=kernel // 2), nn.BatchNorm2d(WIDTH), nn.ReLU())


class KernelNet(nn.Module):  # one path alone
    def __init__(self, arch="000", num_classes=10, in_chans=3):
        super().__init__()
        self.arch, self.num_features = arch, WIDTH
        self.stem = nn.Conv2d(in_chans, WIDTH, 3, 2)
        self.layers = nn.Sequential(*(layer(KERNELS[int(c)]) for c in arch))
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes):
        self.num_classes, self.fc = num_classes, nn.Linear(WIDTH, num_classes) if num_classes else nn.Identity()

    def forward(self, x):
        return self.fc(self.layers(self.stem(x)).mean((2, 3)))


@register_model
def kernel_net(pretrained=False, **kwargs):
    return build_model_with_cfg(KernelNet, "kernel_net", pretrained, **kwargs)


class KernelSupernet(Supernet):  # all paths
    def __init__(self, layers, in_chans):
        super().__init__()
        self.num_features, self.stem = WIDTH, nn.Conv2d(in_chans, WIDTH, 3, 2)
        self.layers = nn.ModuleList(nn.ModuleList(layer(k) for k in KERNELS) for _ in range(layers))

    def forward(self, x, path):
        return nn.Sequential(*(module for _, module in self.path_modules(path)))(x).mean((2, 3))  # N x num_features

    def path_modules(self, path):  # in the order of execution, by the names of the network alone
        yield "stem", self.stem
        yield from ((f"layers.{k}", self.layers[k][choice]) for k, choice in enumerate(path))


class Space(SearchSpace):
    architecture, num_candidates = "kernel_net", len(KERNELS)  # timm's entry point; candidates per layer

    def __init__(self, layers=3):
        self.num_layers = layers

    def supernet(self, in_chans=3):
        return KernelSupernet(self.num_layers, in_chans)

    def model_args(self, arch):
        return {"arch": str(arch)}
