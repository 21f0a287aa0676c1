"""Processors of different kinds have different names, as the files of each system tell them."""

import subprocess
import sys
import types

import pytest

from prunebench.runs import processors
from prunebench.runs.environment import environment

PI = """processor	: 0
BogoMIPS	: 108.00
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd08
CPU revision	: 3

Revision	: c03111
Model		: Raspberry Pi 4 Model B Rev 1.1
"""
OLD = PI.replace("processor	: 0", "processor	: 0\nmodel name	: ARMv7 Processor rev 3 (v7l)")
GRAVITON = "CPU implementer	: 0x41\nCPU variant	: 0x3\nCPU part	: 0xd0c\nCPU revision	: 1\n"
PHONE = "\n".join([GRAVITON.replace("0xd0c", "0xd05")] * 4 + [GRAVITON.replace("0xd0c", "0xd41")] * 2)
NEW = GRAVITON.replace("0xd0c", "0xd9f").replace("0x41", "0x99")
XEON = "processor	: 0\nvendor_id	: GenuineIntel\nmodel name	: Intel(R) Xeon(R) CPU @ 2.80GHz\n\nprocessor	: 1\n"
POWER = "processor	: 0\ncpu		: POWER9, altivec supported\n\nmachine	: PowerNV\n"
RISCV = "processor	: 0\nhart	: 1\nisa	: rv64imafdc\nuarch	: sifive,u74-mc\n"


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Sets what a Linux system tells."""

    def system(info=None, board=None):
        monkeypatch.setattr(sys, "platform", "linux")
        for name, content in (("INFO", info), ("BOARD", board)):
            monkeypatch.setattr(processors, name, tmp_path / name)
            if content is not None:
                (tmp_path / name).write_text(content)

    return system


@pytest.mark.parametrize(
    ("info", "computes"),
    [
        (XEON.replace("\n\n", "\nflags	: fpu avx2 avx512f avx512_bf16\n\n"), True),
        (XEON.replace("\n\n", "\nflags	: fpu amx_bf16 amx_tile\n\n"), True),
        (XEON.replace("\n\n", "\nflags	: fpu avx2 avx512f\n\n"), False),
        (GRAVITON + "Features	: fp asimd i8mm bf16\n", True),
        (GRAVITON + "Features	: fp asimd\n", False),
        (RISCV, None),
        (None, None),
    ],
)
def test_a_processor_computes_in_bf16_where_it_says_so(info, computes, system):
    system(info)
    assert processors.computes_bf16() is computes


@pytest.mark.parametrize(
    ("info", "board", "name"),
    [
        (PI, "Raspberry Pi 4 Model B Rev 1.1\0", "ARM Cortex-A72 r0p3 (Raspberry Pi 4 Model B Rev 1.1)"),
        (OLD, None, "ARM Cortex-A72 r0p3"),
        (GRAVITON, None, "ARM Neoverse-N1 r3p1"),
        (PHONE, None, "4 × ARM Cortex-A55 r3p1, 2 × ARM Cortex-A78 r3p1"),
        (NEW, None, "maker 0x99 core 0xd9f r3p1"),
        (XEON, "a board", "Intel(R) Xeon(R) CPU @ 2.80GHz"),
        (POWER, None, "POWER9, altivec supported"),
        (RISCV, None, "sifive,u74-mc"),
    ],
)
def test_a_processor_has_the_name_that_tells_it_from_others(info, board, name, system):
    system(info, board)
    assert processors.cpu() == name
    assert environment(threads=1, packages=()).hardware == name


@pytest.mark.parametrize("info", [None, "", "processor	: 0\nFeatures	: fp asimd\n"])
def test_where_the_system_tells_nothing_there_is_its_architecture(info, system, monkeypatch):
    system(info)
    monkeypatch.setattr(processors.platform, "processor", lambda: "")
    monkeypatch.setattr(processors.platform, "machine", lambda: "aarch64")
    assert processors.cpu() == "aarch64"


@pytest.mark.parametrize(("told", "name"), [("Apple M1 Pro\n", "Apple M1 Pro"), ("", "arm64")])
def test_macos_is_asked_for_the_brand(told, name, monkeypatch):
    asked = []

    def run(command, **about):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, told, "")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(processors.subprocess, "run", run)
    monkeypatch.setattr(processors.platform, "machine", lambda: "arm64")
    assert processors.cpu() == name
    assert asked == [("sysctl", "-n", "machdep.cpu.brand_string")]


@pytest.mark.parametrize("there", [True, False])
def test_windows_registry_is_asked_for_the_name(there, monkeypatch):
    class Key:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    def open_key(root, place):
        if not there:
            raise FileNotFoundError(place)
        return Key()

    registry = types.SimpleNamespace(
        OpenKey=open_key,
        HKEY_LOCAL_MACHINE=0,
        QueryValueEx=lambda key, name: ("AMD Ryzen 7 7840U  ", 1) if name == "ProcessorNameString" else None,
    )
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(processors.platform, "processor", lambda: "AMD64 Family 25")
    assert processors.cpu() == ("AMD Ryzen 7 7840U" if there else "AMD64 Family 25")
