package org.detr2litert.core.tensor

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Converts tensors to and from raw little-endian bytes, row-major. */
object LittleEndian {
    /**
     * @throws IllegalArgumentException if [length] does not fit [shape] and [dtype].
     */
    fun decode(bytes: ByteArray, offset: Int, length: Int, shape: List<Int>, dtype: DType): Tensor {
        val count = TensorSpec.elements(shape)
        require(length.toLong() == count * dtype.bytes) { "$length bytes for ${dtype.label}$shape" }
        val buffer = ByteBuffer.wrap(bytes, offset, length).order(ByteOrder.LITTLE_ENDIAN)
        return when (dtype) {
            DType.FLOAT32 -> FloatTensor(shape).also { buffer.asFloatBuffer().get(it.data) }
            DType.INT32 -> IntTensor(shape).also { buffer.asIntBuffer().get(it.data) }
            DType.UINT8 -> ByteTensor(shape).also { buffer.get(it.data) }
        }
    }

    /** The elements of [tensor], each in the bytes of its type. */
    fun encode(tensor: Tensor): ByteArray {
        val buffer = ByteBuffer.allocate(tensor.size * tensor.dtype.bytes).order(ByteOrder.LITTLE_ENDIAN)
        when (tensor) {
            is FloatTensor -> buffer.asFloatBuffer().put(tensor.data)
            is IntTensor -> buffer.asIntBuffer().put(tensor.data)
            is ByteTensor -> buffer.put(tensor.data)
        }
        return buffer.array()
    }
}
