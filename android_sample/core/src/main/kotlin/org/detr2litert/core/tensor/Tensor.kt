package org.detr2litert.core.tensor

/** Element types at a stage's border. */
enum class DType(val label: String, val bytes: Int) {
    FLOAT32("float32", 4),
    INT32("int32", 4),
    INT64("int64", 8),
    BOOL("bool", 1),
    ;

    companion object {
        /** @throws NoSuchElementException for a label that is none. */
        fun of(label: String): DType = entries.first { it.label == label }
    }
}

/** Name, static row-major shape and element type of a tensor. */
data class TensorSpec(val name: String, val shape: List<Int>, val dtype: DType = DType.FLOAT32) {
    /** How many elements it has; a scalar has one. */
    val size: Int get() = shape.fold(1) { product, extent -> product * extent }
}

/**
 * A row-major tensor over an array of its own (or over another tensor's, if it is a reshaped view of that).
 *
 * int64 and bool live in an [IntTensor] as well: what passes between the graphs are indices and masks, which fit; reading an
 * int64 that does not fit is refused where it is read.
 */
sealed class Tensor(val shape: List<Int>) {
    /** The FloatArray or IntArray itself, for System.arraycopy. */
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
        /** A zeroed tensor for [spec]; int64 is held as int32, bool as 0 and 1. */
        fun of(spec: TensorSpec): Tensor = when (spec.dtype) {
            DType.FLOAT32 -> FloatTensor(spec.shape)
            DType.INT32, DType.INT64 -> IntTensor(spec.shape)
            DType.BOOL -> IntTensor(spec.shape, dtype = DType.BOOL)
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

class IntTensor(shape: List<Int>, data: IntArray? = null, override val dtype: DType = DType.INT32) : Tensor(shape) {
    val data: IntArray = data ?: IntArray(size)
    override val storage: Any get() = data

    init {
        require(this.data.size == size) { "${this.data.size} elements for shape $shape" }
        require(dtype == DType.INT32 || dtype == DType.BOOL) { "an IntTensor of ${dtype.label}" }
    }

    override fun view(shape: List<Int>) = IntTensor(shape, data, dtype)

    override fun like(shape: List<Int>) = IntTensor(shape, dtype = dtype)
}
