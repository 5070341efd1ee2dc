"""What the processor is and can do, as far as numbers and speed depend on it."""

import os
import platform
from pathlib import Path

BFLOAT16 = {"avx512_bf16", "amx_bf16"}
# With one of these TensorFlow computes with oneDNN by itself, to other last digits.
ONEDNN = {"avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"}
RECORDED_FLAGS = {"avx2", "fma", "avx512f", *ONEDNN}


def cpu_flags() -> set[str]:
    """Returns what the processor can do; empty where that can't be read (not Linux, not x86)."""
    lines = _cpu_info()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()[2:]}


def cpu_name() -> str:
    """Returns the processor's name, or its architecture where that is all there is."""
    names = [line.partition(":")[2].strip() for line in _cpu_info() if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def uses_onednn() -> bool | None:
    """Whether TensorFlow computes with oneDNN on this CPU; None where that can't be known."""
    setting = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
    if setting:
        return setting in ("1", "true")
    flags = cpu_flags()
    return bool(flags & ONEDNN) if flags else None


def _cpu_info():
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
