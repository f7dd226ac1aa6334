package org.detr2litert.core.tensor

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Tensors to and from raw little-endian bytes, row-major. */
object LittleEndian {
    /**
     * @param dtype the type of the bytes; int64 is narrowed.
     * @throws IllegalArgumentException if the length does not fit [shape], or an int64 does not fit 32 bits.
     */
    fun decode(bytes: ByteArray, offset: Int, length: Int, shape: List<Int>, dtype: DType): Tensor {
        val count = shape.fold(1L) { product, extent -> product * extent }
        require(length.toLong() == count * dtype.bytes) { "$length bytes for ${dtype.label}$shape" }
        val buffer = ByteBuffer.wrap(bytes, offset, length).order(ByteOrder.LITTLE_ENDIAN)
        return when (dtype) {
            DType.FLOAT32 -> FloatTensor(shape).also { buffer.asFloatBuffer().get(it.data) }

            DType.INT32 -> IntTensor(shape).also { buffer.asIntBuffer().get(it.data) }

            DType.INT64 -> IntTensor(shape).also { tensor ->
                val longs = buffer.asLongBuffer()
                for (index in tensor.data.indices) tensor.data[index] = narrowed(longs.get(index))
            }

            DType.BOOL -> IntTensor(shape, dtype = DType.BOOL).also { tensor ->
                for (index in tensor.data.indices) tensor.data[index] = if (bytes[offset + index].toInt() == 0) 0 else 1
            }
        }
    }

    /** float32 as such, int32 as such, bool as one byte each. */
    fun encode(tensor: Tensor): ByteArray {
        val buffer = ByteBuffer.allocate(tensor.size * tensor.dtype.bytes).order(ByteOrder.LITTLE_ENDIAN)
        when (tensor) {
            is FloatTensor -> buffer.asFloatBuffer().put(tensor.data)

            is IntTensor -> if (tensor.dtype == DType.BOOL) {
                tensor.data.forEach { buffer.put(it.toByte()) }
            } else {
                buffer.asIntBuffer().put(tensor.data)
            }
        }
        return buffer.array()
    }

    private fun narrowed(value: Long): Int {
        require(value in Int.MIN_VALUE..Int.MAX_VALUE) { "the int64 $value does not fit 32 bits" }
        return value.toInt()
    }
}
