"""Parameter shift as it is logged: the distance of teacher and student along a step's paths."""

from __future__ import annotations

import pytest
import torch

from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space


@pytest.fixture
def method() -> PiNASMethod:
    torch.manual_seed(0)
    space = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
    return PiNASMethod(space, seed=0, dim=8, queue_size=16)


def test_a_teacher_that_is_the_student_has_not_drifted(method):
    assert method.logged(0) == {"drift": 0.0}


@torch.no_grad()
def test_drift_is_the_relative_distance_of_what_the_paths_hold(method):
    """Each parameter counts once, the shared ones too; what other paths hold does not count."""
    for parameter in method.student.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    for step in range(3):
        held: set[str] = set()
        for path in method.sample_paths(step):
            for name, _ in method.student.supernet.path_modules(path):
                held.add(f"supernet.{name}.")
        student, teacher = (dict(m.named_parameters(remove_duplicate=False)) for m in (method.student, method.teacher))
        names, seen = [], set()
        for name, parameter in student.items():
            on_path = not name.startswith("supernet.") or any(name.startswith(prefix) for prefix in held)
            if on_path and parameter.data_ptr() not in seen:
                seen.add(parameter.data_ptr())
                names.append(name)
        distance = sum(float((student[n] - teacher[n]).double().pow(2).sum()) for n in names) ** 0.5
        norm = sum(float(student[n].double().pow(2).sum()) for n in names) ** 0.5
        assert method.logged(step)["drift"] == pytest.approx(distance / norm, rel=1e-5)
