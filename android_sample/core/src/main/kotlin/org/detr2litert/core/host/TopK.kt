package org.detr2litert.core.host

/**
 * Selects the k largest of up to [capacity] values: descending, ties by lower index, NaN first, -0 equal to +0.
 *
 * The order is that of `host_runtime.selection`, a stable descending argsort. Value and index are packed into one 64-bit key,
 * sorted ascending; keys are unique, so a quickselect followed by a sort of the first k is exact. No allocation after
 * construction. Not thread-safe.
 */
class TopK(val capacity: Int) {
    private val keys = LongArray(capacity)
    private var count = 0

    /** Removes all values. */
    fun clear() {
        count = 0
    }

    /** Adds a value; [index] must not have been added before. */
    fun add(value: Float, index: Int) {
        keys[count++] = key(value, index)
    }

    /**
     * Selects from the values added since [clear].
     *
     * @return the number of results to read with [index]: [k], or fewer if fewer values were added.
     */
    fun select(k: Int): Int {
        val selected = minOf(k, count)
        if (selected in 1 until count) partition(selected)
        keys.sort(0, selected)
        return selected
    }

    /** The index of the [place]-th largest value, after [select]. */
    fun index(place: Int): Int = keys[place].toInt()

    /** Reorders keys so that the [first] smallest come first (Hoare's quickselect, median of three). */
    private fun partition(first: Int) {
        var low = 0
        var high = count - 1
        while (low < high) {
            val pivot = medianOfThree(keys[low], keys[(low + high) ushr 1], keys[high])
            var left = low
            var right = high
            while (left <= right) {
                while (keys[left] < pivot) left++
                while (keys[right] > pivot) right--
                if (left <= right) {
                    val swapped = keys[left]
                    keys[left++] = keys[right]
                    keys[right--] = swapped
                }
            }
            when {
                first - 1 <= right -> high = right
                first - 1 >= left -> low = left
                else -> return
            }
        }
    }

    private fun medianOfThree(a: Long, b: Long, c: Long): Long = maxOf(minOf(a, b), minOf(maxOf(a, b), c))

    private companion object {
        fun key(value: Float, index: Int): Long {
            // Adding +0 turns -0 into +0. The bits of positive floats sort like the values, of negative floats in reverse.
            val bits = (value + 0f).toRawBits()
            val ascending = bits xor ((bits shr 31) and Int.MAX_VALUE)
            val descending = if (value.isNaN()) Int.MIN_VALUE else ascending.inv()
            return (descending.toLong() shl Int.SIZE_BITS) or index.toLong()
        }
    }
}
