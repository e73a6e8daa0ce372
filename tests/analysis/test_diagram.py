"""The picture and the table say what the network is."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import pytest
import timm
from torch import nn

from pinas_zoo.analysis.cost import Cost, network_cost
from pinas_zoo.analysis.diagram import COLOURS, HEADINGS, layer_table, network_svg, table_cells
from pinas_zoo.models.pinas import ARCHS, CANDIDATES, PiNAS
from pinas_zoo.models.spec import NetworkSpec

SVG = "{http://www.w3.org/2000/svg}"
SMALL = dict(depths=(1, 2, 1, 1), widths=(16, 32, 64, 128), stem_width=8)


def random_arch(seed: int, layers: int = 16) -> str:
    return "".join(random.Random(seed).choices("0123", k=layers))


def chosen_cells(svg: str) -> list[tuple[str, str, float, float]]:
    """Digit, fill, x and y of every filled cell, in the order of the layers."""
    cells = []
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        box, mark = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        cells.append((mark.text, box.get("fill"), float(box.get("x")), float(box.get("y"))))
    return cells


@pytest.mark.parametrize("arch", [*ARCHS.values(), *map(random_arch, range(5))])
def test_one_filled_cell_a_layer_in_the_row_of_its_candidate(arch):
    cells = chosen_cells(network_svg(NetworkSpec(arch)))
    assert "".join(digit for digit, *_ in cells) == arch
    assert [fill for _, fill, *_ in cells] == [COLOURS[int(c)] for c in arch]
    assert [x for *_, x, _ in cells] == sorted({x for *_, x, _ in cells})  # a column of its own, left to right
    rows = sorted({y for *_, y in cells})
    assert [rows.index(y) for *_, y in cells] == [sorted(set(arch)).index(c) for c in arch]


def test_everything_drawn_lies_inside_the_picture():
    for svg in (
        network_svg(NetworkSpec("0123", (1, 1, 1, 1), (16, 16, 16, 16), 4), title="W" * 70),
        network_svg(NetworkSpec("3" * 40, (4, 8, 24, 4))),
    ):
        root = ET.fromstring(svg)
        width, height = map(float, root.get("viewBox").split()[2:])
        for box in root.iter(f"{SVG}rect"):
            assert 0 <= float(box.get("x", 0)) <= width - float(box.get("width"))
            assert 0 <= float(box.get("y", 0)) <= height - float(box.get("height"))
        for text in root.iter(f"{SVG}text"):
            assert 0 < float(text.get("x")) < width
            assert 0 < float(text.get("y")) < height
            if text.get("text-anchor") == "start":  # letters of half an em, the mean of running text
                assert float(text.get("x")) + 0.5 * float(text.get("font-size")) * len(text.text) < width


def test_text_alternatives_name_every_layer():
    root = ET.fromstring(network_svg(NetworkSpec("01231", **SMALL), title="mine"))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "mine"
    desc = root.find(f"{SVG}desc").text
    assert "layer2 (128 channels, stride 8): 2s1x64d, 1s2x42d" in desc
    assert "layer4 (512 channels, stride 32): 2s1x64d" in desc


def test_a_title_is_text_and_never_markup():
    title = '</svg><script>alert("x")</script>&'
    svg = network_svg(NetworkSpec("0123", (1, 1, 1, 1), (16, 16, 16, 16), 8), title=title)
    assert ET.fromstring(svg).find(f"{SVG}title").text == title
    assert "<script" not in svg


def test_the_picture_needs_nothing_from_elsewhere():
    svg = network_svg(NetworkSpec(ARCHS["pinas_alpha"]))
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
    assert tags <= {"svg", "title", "desc", "rect", "text", "g", "path", "polyline"}
    assert svg.count("http") == 1  # the namespace
    assert "url(" not in svg


@pytest.mark.parametrize("seed", range(4))
def test_table_adds_up_to_the_network(seed):
    arch = random_arch(seed, 5)
    spec = NetworkSpec(arch, **SMALL, num_classes=10, in_chans=1)
    rows = layer_table(spec, 96)
    total = sum((Cost(row.params, row.macs) for row in rows), Cost())
    assert total == network_cost(spec, 96)
    assert [row.candidate for row in rows[1:-1]] == [str(CANDIDATES[int(c)]) for c in arch]


def test_table_s_rows_are_the_modules():
    arch = random_arch(0)
    model = PiNAS(arch, device="meta")
    rows = {row.layer: row for row in layer_table(NetworkSpec(arch))}
    for stage in range(1, 5):
        for block, module in enumerate(getattr(model, f"layer{stage}")):
            row = rows.pop(f"layer{stage}.{block}")
            assert row.params == sum(p.numel() for p in module.parameters())
            assert (row.in_chs, row.out_chs) == (module.conv1.in_channels, module.conv3.out_channels)
            assert row.stride == (module.avd_last.stride if isinstance(module.avd_last, nn.AvgPool2d) else 1)
    stem = sum(p.numel() for m in (model.conv1, model.bn1) for p in m.parameters())
    assert rows.pop("stem").params == stem
    assert rows.pop("fc").params == sum(p.numel() for p in model.fc.parameters())
    assert not rows


def test_table_at_output_stride_8():
    rows = layer_table(NetworkSpec("1" * 16, output_stride=8))
    assert [row.size for row in rows if row.layer in ("layer2.0", "layer3.0", "layer4.0")] == [(28, 28)] * 3
    assert rows[-2].stride == 1


def test_without_a_head_the_table_ends_at_the_last_layer():
    rows = layer_table(NetworkSpec("0123", (1, 1, 1, 1), (16, 16, 16, 16), 8, num_classes=0))
    assert rows[-1].layer == "layer4.0"


def test_cells_have_a_heading_each():
    cells = table_cells(layer_table(NetworkSpec(ARCHS["pinas_gamma"])))
    assert all(len(row) == len(HEADINGS) for row in cells)
    assert cells[-1] == ("fc", "linear", "2048", "1000", "1", "1x1", "2,049,000", "2.05 M")


def test_timm_s_network_has_the_size_of_the_table():
    total = sum(row.params for row in layer_table(NetworkSpec("1" * 16)))
    assert total == sum(p.numel() for p in timm.create_model("resnest50d", device="meta").parameters())
