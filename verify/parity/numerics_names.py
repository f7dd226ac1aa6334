"""The comparisons of the numerics gate: their names in a report, the rule of a finding, and what to do about one."""

from __future__ import annotations

CPU, SHIPPED, GPU = "CPU vs PyTorch", "shipped vs float32", "GPU vs CPU"
SHIPPED_DIRECT, NATIVE = "shipped vs PyTorch", "native vs portable"
UNPACKED, UNPACKED_DIRECT = "unpacked vs float32", "unpacked vs PyTorch"
INT8_CPU, INT8_GPU = "CPU vs unpacked", "GPU vs unpacked"
RULES = {
    CPU: "cpu-vs-pytorch",
    SHIPPED: "shipped-vs-float32",
    SHIPPED_DIRECT: "shipped-vs-pytorch",
    GPU: "gpu-vs-cpu",
    NATIVE: "native-vs-portable",
    UNPACKED: "unpacked-vs-float32",
    UNPACKED_DIRECT: "unpacked-vs-pytorch",
    INT8_CPU: "cpu-vs-unpacked",
    INT8_GPU: "gpu-vs-unpacked",
}
_LOST = "int8 loses too much here: convert with --precision fp16"
ADVICE = {
    CPU: "run the tests of the rewrites named, and of the converter's lowering of this operator, on that module's shapes",
    SHIPPED: "an fp16 weight overflows or loses too much here: keep this operator's weights in float32",
    SHIPPED_DIRECT: "compare the float32 file as well, to distinguish the conversion from the fp16 weights",
    GPU: "the delegate accepts this operator and computes it wrong: see the lint gate, or rewrite it in another form",
    NATIVE: "see the rewrites gate, which compares both forms in PyTorch; if it passed, the delegate computes a native "
    "operator wrong: convert with --no-native",
    UNPACKED: _LOST,
    UNPACKED_DIRECT: _LOST,
    INT8_CPU: "the CPU rounds this operator's input to 8 bits and loses too much: " + _LOST,
    INT8_GPU: "the delegate accepts this operator with int8 weights and computes it wrong: see the lint gate, or use "
    "--precision fp16",
}
