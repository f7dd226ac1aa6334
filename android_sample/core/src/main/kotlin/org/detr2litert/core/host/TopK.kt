package org.detr2litert.core.host

/**
 * The k largest of up to [capacity] values: descending, ties by lower index, NaN before everything, -0 equal to +0.
 *
 * The order is that of `host_runtime.selection`, which is what a stable descending argsort gives. Value and index are packed
 * into one 64-bit key whose ascending order is the wanted one; keys are unique, so a quickselect followed by a sort of the k
 * that remain is exact. Nothing is allocated after construction. Not for use by several threads at once.
 */
class TopK(val capacity: Int) {
    private val keys = LongArray(capacity)
    private var count = 0

    /** Forgets all values. */
    fun clear() {
        count = 0
    }

    /** Adds a value; [index] must not have been added before. */
    fun add(value: Float, index: Int) {
        keys[count++] = key(value, index)
    }

    /**
     * Selects among what was added since [clear].
     *
     * @return how many there are to read with [index]: [k], or fewer if fewer were added.
     */
    fun select(k: Int): Int {
        val wanted = minOf(k, count)
        if (wanted in 1 until count) partition(wanted)
        keys.sort(0, wanted)
        return wanted
    }

    /** The index of the [place]-th best after [select]. */
    fun index(place: Int): Int = keys[place].toInt()

    /** Reorders keys so that the [wanted] smallest come first (Hoare's quickselect, median of three). */
    private fun partition(wanted: Int) {
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
                wanted - 1 <= right -> high = right
                wanted - 1 >= left -> low = left
                else -> return
            }
        }
    }

    private fun medianOfThree(a: Long, b: Long, c: Long): Long = maxOf(minOf(a, b), minOf(maxOf(a, b), c))

    private companion object {
        fun key(value: Float, index: Int): Long {
            // Adding +0 turns -0 into +0. Positive floats order as their bits, negative ones the other way round.
            val bits = (value + 0f).toRawBits()
            val ascending = bits xor ((bits shr 31) and Int.MAX_VALUE)
            val descending = if (value.isNaN()) Int.MIN_VALUE else ascending.inv()
            return (descending.toLong() shl Int.SIZE_BITS) or index.toLong()
        }
    }
}
