"""Processors: what the CPU of this machine is called, so that figures of two kinds of it are not taken for one's."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

INFO = Path("/proc/cpuinfo")
BOARD = Path("/proc/device-tree/model")

NAMED = ("model name", "cpu model", "cpu", "uarch")
"""Keys of /proc/cpuinfo that name a processor: on x86 and LoongArch, MIPS, POWER and RISC-V."""

FLAGS = ("flags", "Features")
BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Keys of /proc/cpuinfo that list what a processor can do, on x86 and ARM, and what stands there for bf16."""

MAKERS = {
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x50: "APM",
    0x51: "Qualcomm",
    0x53: "Samsung",
    0x56: "Marvell",
    0x61: "Apple",
    0x6D: "Microsoft",
    0x70: "Phytium",
    0xC0: "Ampere",
}
"""Number of an implementer of ARM (the main ID register, MIDR) → its name."""

CORES = {
    0x41: {
        **{0xC07: "Cortex-A7", 0xC08: "Cortex-A8", 0xC09: "Cortex-A9", 0xC0F: "Cortex-A15", 0xC0E: "Cortex-A17"},
        **{0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72"},
        **{0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0D: "Cortex-A77", 0xD0E: "Cortex-A76AE"},
        **{0xD41: "Cortex-A78", 0xD42: "Cortex-A78AE", 0xD4B: "Cortex-A78C", 0xD46: "Cortex-A510"},
        **{0xD47: "Cortex-A710", 0xD4D: "Cortex-A715", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720"},
        **{0xD44: "Cortex-X1", 0xD48: "Cortex-X2", 0xD4E: "Cortex-X3", 0xD82: "Cortex-X4"},
        **{0xD0C: "Neoverse-N1", 0xD49: "Neoverse-N2", 0xD4A: "Neoverse-E1"},
        **{0xD40: "Neoverse-V1", 0xD4F: "Neoverse-V2"},
    },
    0x46: {0x001: "A64FX"},
    0x48: {0xD01: "TaiShan-v110"},
    0x4E: {0x003: "Denver 2", 0x004: "Carmel"},
    0xC0: {0xAC3: "AmpereOne", 0xAC4: "AmpereOne A"},
}
"""Implementer → number of a core → its name. A core that is not here is called by its number, which tells as much."""


def cpu() -> str:
    """The CPU's model, as the system names it; on ARM its cores, and the board where the system tells it."""
    if sys.platform == "darwin":
        return _line_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    if sys.platform == "win32":
        return _registered() or platform.processor() or platform.machine()
    cores = list(_cores())
    if any("CPU part" in core for core in cores):  # its "model name" is that of the architecture
        return _of_arm(cores)
    names = [core[key] for core in cores for key in NAMED if key in core]
    return names[0] if names else platform.processor() or platform.machine()


def flags() -> frozenset[str]:
    """What any core can do, as /proc/cpuinfo calls it; nothing where the system does not tell."""
    return frozenset(flag for core in _cores() for key in FLAGS for flag in core.get(key, "").split())


def computes_bf16() -> bool | None:
    """Whether the CPU multiplies in bf16; None where the system does not tell. Elsewhere PyTorch does it by way of
    fp32, which takes longer than fp32 alone."""
    told = flags()
    return not told.isdisjoint(BF16) if told else None


def _cores() -> Iterator[dict[str, str]]:
    """What /proc/cpuinfo says of each core; nothing where there is none."""
    try:
        text = INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for block in text.split("\n\n"):
        pairs = [line.partition(":") for line in block.splitlines() if ":" in line]
        yield {key.strip(): value.strip() for key, _, value in pairs}


def _of_arm(cores: Iterable[dict[str, str]]) -> str:
    """`4 × ARM Cortex-A53 r0p4, 4 × ARM Cortex-A73 r0p2 (Some Board)`; how many, where there are several kinds."""
    kinds = Counter(_arm_core(core) for core in cores if "CPU part" in core)
    told = list(kinds) if len(kinds) == 1 else [f"{count} × {kind}" for kind, count in kinds.items()]
    try:
        board = BOARD.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        board = ""
    return ", ".join(told) + f" ({board})" * bool(board)


def _arm_core(core: dict[str, str]) -> str:
    maker, part = (int(core.get(key, "0"), 0) for key in ("CPU implementer", "CPU part"))
    name = CORES.get(maker, {}).get(part, f"core {part:#x}")
    variant, revision = (int(core.get(key, "0"), 0) for key in ("CPU variant", "CPU revision"))
    return f"{MAKERS.get(maker, f'maker {maker:#x}')} {name} r{variant}p{revision}"


def _line_of(*command: str) -> str:
    """What a command prints; empty where there is no such command."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _registered() -> str:
    """The name that Windows' registry has of the first core; empty where it has none."""
    if sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return ""
