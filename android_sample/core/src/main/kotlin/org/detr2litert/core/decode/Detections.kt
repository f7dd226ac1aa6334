package org.detr2litert.core.decode

/**
 * A picture's detections, best first, in preallocated arrays that are reused for every picture.
 *
 * Boxes are left, top, right, bottom in the picture's pixels: [boxes] [capacity, 4] row-major.
 */
class Detections(val capacity: Int) {
    /** The current number of detections. */
    var count = 0
        internal set

    /** The picture's size in pixels. */
    var width = 0
        internal set
    var height = 0
        internal set

    val classIndex = IntArray(capacity)

    /** The detector's query that each detection comes from. */
    val query = IntArray(capacity)
    val score = FloatArray(capacity)
    val boxes = FloatArray(4 * capacity)

    /** The mask of each detection, of the picture's size; null where the detector gives none. */
    val masks = arrayOfNulls<Mask>(capacity)

    /** The keypoints of each detection; null where its class has none. */
    val keypoints = arrayOfNulls<Keypoints>(capacity)

    fun left(index: Int): Float = boxes[4 * index]

    fun top(index: Int): Float = boxes[4 * index + 1]

    fun right(index: Int): Float = boxes[4 * index + 2]

    fun bottom(index: Int): Float = boxes[4 * index + 3]

    /** Removes all detections. */
    fun clear() {
        count = 0
    }

    /** Copies everything from [other], whose count must not exceed [capacity]. */
    fun copyFrom(other: Detections) {
        require(other.count <= capacity) { "${other.count} detections exceed the capacity of $capacity" }
        count = other.count
        width = other.width
        height = other.height
        System.arraycopy(other.classIndex, 0, classIndex, 0, count)
        System.arraycopy(other.query, 0, query, 0, count)
        System.arraycopy(other.masks, 0, masks, 0, count)
        System.arraycopy(other.keypoints, 0, keypoints, 0, count)
        System.arraycopy(other.score, 0, score, 0, count)
        System.arraycopy(other.boxes, 0, boxes, 0, 4 * count)
    }

    /** Moves detection [from] to place [to]. */
    internal fun move(from: Int, to: Int) {
        classIndex[to] = classIndex[from]
        query[to] = query[from]
        masks[to] = masks[from]
        keypoints[to] = keypoints[from]
        score[to] = score[from]
        System.arraycopy(boxes, 4 * from, boxes, 4 * to, 4)
    }
}
