"""How many operands the operators of a .tflite file have, from the checks in their kernels (tflite/kernels, ``Prepare``).

LiteRT checks some of this itself, and dereferences a null pointer for some of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from detr2litert.host_runtime.tflite.container import operator_number

_MANY = 2**31


@dataclass(frozen=True)
class Operands:
    """The operands that an operator may have.

    Attributes:
        required: leading inputs that must be present; only those after them may be left out (index -1).
        inputs, outputs: the most that it has.
    """

    required: int
    inputs: int
    outputs: int = 1


_UNARY = """
    ABS AVERAGE_POOL_2D CAST CEIL COS DEPTH_TO_SPACE DEQUANTIZE ELU EXP FLOOR GELU HARD_SWISH L2_NORMALIZATION L2_POOL_2D
    LEAKY_RELU LOG LOGICAL_NOT LOGISTIC LOG_SOFTMAX MAX_POOL_2D NEG QUANTIZE RANK RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND
    RSQRT SHAPE SIGN SIN SOFTMAX SPACE_TO_DEPTH SQRT SQUARE SQUEEZE TANH WHERE ZEROS_LIKE
"""
_BINARY = """
    ADD ARG_MAX ARG_MIN ATAN2 BATCH_MATMUL BROADCAST_TO CUMSUM DIV EMBEDDING_LOOKUP EQUAL EXPAND_DIMS FLOOR_DIV FLOOR_MOD GATHER
    GATHER_ND GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NOT_EQUAL PAD POW
    PRELU REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2
    SQUARED_DIFFERENCE SUB SUM TILE TRANSPOSE
"""
_OTHER = {
    "ADD_N": Operands(1, _MANY),
    "CONCATENATION": Operands(1, _MANY),
    "CONV_2D": Operands(2, 3),
    "CONV_3D": Operands(2, 3),
    "DEPTHWISE_CONV_2D": Operands(2, 3),
    "DYNAMIC_UPDATE_SLICE": Operands(3, 3),
    "FULLY_CONNECTED": Operands(2, 3, 2),
    "ONE_HOT": Operands(4, 4),
    "PACK": Operands(1, _MANY),
    "PADV2": Operands(3, 3),
    "RANGE": Operands(3, 3),
    "RESHAPE": Operands(1, 2),
    "SCATTER_ND": Operands(3, 3),
    "SELECT": Operands(3, 3),
    "SELECT_V2": Operands(3, 3),
    "SLICE": Operands(3, 3),
    "SPLIT": Operands(2, 2, _MANY),
    "SPLIT_V": Operands(3, 3, _MANY),
    "STRIDED_SLICE": Operands(4, 4),
    "TOPK_V2": Operands(2, 2, 2),
    "TRANSPOSE_CONV": Operands(3, 4),
    "UNIQUE": Operands(1, 1, 2),
    "UNPACK": Operands(1, 1, _MANY),
}

OPERANDS: dict[int, Operands] = {
    operator_number(name): operands
    for name, operands in {
        **dict.fromkeys(_UNARY.split(), Operands(1, 1)),
        **dict.fromkeys(_BINARY.split(), Operands(2, 2)),
        **_OTHER,
    }.items()
}
"""By the operator's number in the schema; those that are missing here (control flow, recurrent cells) are not checked."""
