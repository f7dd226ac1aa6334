package org.detr2litert.core.tensor

/** Element types of the tensors that pass between the stages; [UINT8] is that of pixels alone. */
enum class DType(val label: String, val bytes: Int) {
    FLOAT32("float32", 4),
    INT32("int32", 4),
    UINT8("uint8", 1),
    ;

    companion object {
        /** @throws IllegalArgumentException for a label that is not one of [entries]. */
        fun of(label: String): DType = requireNotNull(entries.firstOrNull { it.label == label }) {
            "the dtype '$label' is not supported, only ${entries.joinToString { it.label }}"
        }
    }
}

/** Name, static row-major shape and element type of a tensor. */
data class TensorSpec(val name: String, val shape: List<Int>, val dtype: DType = DType.FLOAT32) {
    /** How many elements it has; a scalar has one. */
    val size: Int get() = shape.fold(1) { product, extent -> product * extent }

    companion object {
        /** The number of elements of [shape], at most one more than the largest Int. */
        fun elements(shape: List<Int>): Long =
            shape.fold(1L) { product, extent -> minOf(product * extent, Int.MAX_VALUE + 1L) }
    }
}

/** A row-major tensor over its own array, or over another tensor's array if it is a reshaped view of that tensor. */
sealed class Tensor(val shape: List<Int>) {
    /** The FloatArray, IntArray or ByteArray itself, for System.arraycopy. */
    abstract val storage: Any
    abstract val dtype: DType
    val rank: Int get() = shape.size
    val size: Int = shape.fold(1) { product, extent -> product * extent }

    /** The same elements in another shape of the same size. */
    abstract fun view(shape: List<Int>): Tensor

    /** A new tensor of the same type, zeroed. */
    abstract fun like(shape: List<Int>): Tensor

    override fun toString() = "${dtype.label}$shape"

    companion object {
        /** A zeroed tensor for [spec]. */
        fun of(spec: TensorSpec): Tensor = when (spec.dtype) {
            DType.FLOAT32 -> FloatTensor(spec.shape)
            DType.INT32 -> IntTensor(spec.shape)
            DType.UINT8 -> ByteTensor(spec.shape)
        }
    }
}

class FloatTensor(shape: List<Int>, data: FloatArray? = null) : Tensor(shape) {
    val data: FloatArray = data ?: FloatArray(size)
    override val storage: Any get() = data
    override val dtype get() = DType.FLOAT32

    init {
        require(this.data.size == size) { "${this.data.size} elements for shape $shape" }
    }

    override fun view(shape: List<Int>) = FloatTensor(shape, data)

    override fun like(shape: List<Int>) = FloatTensor(shape)
}

class IntTensor(shape: List<Int>, data: IntArray? = null) : Tensor(shape) {
    val data: IntArray = data ?: IntArray(size)
    override val storage: Any get() = data
    override val dtype get() = DType.INT32

    init {
        require(this.data.size == size) { "${this.data.size} elements for shape $shape" }
    }

    override fun view(shape: List<Int>) = IntTensor(shape, data)

    override fun like(shape: List<Int>) = IntTensor(shape)
}

/** Elements from 0 to 255; Kotlin's bytes are signed, so an element's value is `data[index].toInt() and 0xFF`. */
class ByteTensor(shape: List<Int>, data: ByteArray? = null) : Tensor(shape) {
    val data: ByteArray = data ?: ByteArray(size)
    override val storage: Any get() = data
    override val dtype get() = DType.UINT8

    init {
        require(this.data.size == size) { "${this.data.size} elements for shape $shape" }
    }

    override fun view(shape: List<Int>) = ByteTensor(shape, data)

    override fun like(shape: List<Int>) = ByteTensor(shape)
}
