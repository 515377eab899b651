"""Whether the devices that trials ask for are there."""

import pytest

from bench.machine import devices
from bench.machine.devices import check_devices


def test_without_cuda_among_the_devices_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(devices, "ask", lambda task: pytest.fail("a process was started"))
    assert check_devices(["cpu", "cpu"]) == ""
    assert check_devices([]) == ""


@pytest.mark.integration
def test_a_missing_device_is_a_reason_and_a_present_one_none():
    import torch

    reason = check_devices(iter(["cpu", "cuda"]))
    assert reason == "" if torch.cuda.is_available() else "CUDA" in reason
    assert "\n" not in reason
