package org.detr2litert.core.draw

/**
 * Places labels: above the box, else inside its top, else below, at the first position that overlaps no label placed before.
 * Labels are moved into the area. Place the best detection first. No allocation after construction.
 */
class LabelPlacer(private val capacity: Int) {
    private val placed = FloatArray(4 * capacity)
    private var count = 0

    /** Position of the label placed last by [place]. */
    var left = 0f
        private set
    var top = 0f
        private set

    fun clear() {
        count = 0
    }

    /**
     * @param boxLeft the box, in the same units as the label and the area, whose origin is (0, 0).
     */
    fun place(
        boxLeft: Float,
        boxTop: Float,
        boxBottom: Float,
        labelWidth: Float,
        labelHeight: Float,
        areaWidth: Float,
        areaHeight: Float,
    ) {
        left = maxOf(0f, minOf(boxLeft, areaWidth - labelWidth))
        val lowest = areaHeight - labelHeight
        val above = maxOf(0f, minOf(boxTop - labelHeight, lowest))
        val inside = maxOf(0f, minOf(boxTop, lowest))
        val below = maxOf(0f, minOf(boxBottom, lowest))
        top = when {
            isFree(above, labelWidth, labelHeight) -> above
            isFree(inside, labelWidth, labelHeight) -> inside
            isFree(below, labelWidth, labelHeight) -> below
            else -> above
        }
        if (count < capacity) {
            placed[4 * count] = left
            placed[4 * count + 1] = top
            placed[4 * count + 2] = left + labelWidth
            placed[4 * count + 3] = top + labelHeight
            count++
        }
    }

    private fun isFree(candidate: Float, width: Float, height: Float): Boolean {
        for (index in 0 until count) {
            val apart = left >= placed[4 * index + 2] || placed[4 * index] >= left + width ||
                candidate >= placed[4 * index + 3] || placed[4 * index + 1] >= candidate + height
            if (!apart) return false
        }
        return true
    }
}
