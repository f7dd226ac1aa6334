package org.detr2litert.core.decode

/** Greedy non-maximum suppression, within each class or across classes. */
class Nms(capacity: Int) {
    private val dropped = BooleanArray(capacity)

    /**
     * Removes from [detections] (best first) each box whose IoU with a better one, of its class or of any ([acrossClasses]),
     * is above [iou].
     */
    fun apply(detections: Detections, iou: Float, acrossClasses: Boolean = false) {
        dropped.fill(false, 0, detections.count)
        for (better in 0 until detections.count) {
            if (dropped[better]) continue
            for (other in better + 1 until detections.count) {
                if (dropped[other]) continue
                if (!acrossClasses && detections.classIndex[other] != detections.classIndex[better]) continue
                dropped[other] = overlaps(detections, better, other, iou)
            }
        }
        var kept = 0
        for (index in 0 until detections.count) {
            if (!dropped[index]) detections.move(index, kept++)
        }
        detections.count = kept
    }

    private fun overlaps(detections: Detections, a: Int, b: Int, iou: Float): Boolean {
        val width = minOf(detections.right(a), detections.right(b)) - maxOf(detections.left(a), detections.left(b))
        val height = minOf(detections.bottom(a), detections.bottom(b)) - maxOf(detections.top(a), detections.top(b))
        val shared = maxOf(width, 0f) * maxOf(height, 0f)
        // Without division: two boxes without area would give 0 / 0.
        return shared > iou * (area(detections, a) + area(detections, b) - shared)
    }

    private fun area(detections: Detections, index: Int): Float =
        maxOf(detections.right(index) - detections.left(index), 0f) *
            maxOf(detections.bottom(index) - detections.top(index), 0f)
}
