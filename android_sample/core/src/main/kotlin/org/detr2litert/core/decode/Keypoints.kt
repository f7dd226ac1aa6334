package org.detr2litert.core.decode

/**
 * A named point of an object, for example a joint.
 *
 * @property x with [y] its place in the picture's pixels, which may be outside of the picture.
 * @property score 0..1, how sure the detector is that the point can be found.
 * @property covariance the uncertainty of its place; null where it is beyond all numbers.
 */
data class Keypoint(val name: String, val x: Float, val y: Float, val score: Float, val covariance: Covariance?)

/** Of a place (x, y), in square pixels. */
data class Covariance(val xx: Float, val xy: Float, val yy: Float)

/** The keypoints of one object, in the order of its class's names; immutable. See [Keypoint] for the values. */
class Keypoints internal constructor(private val values: FloatArray) {
    val count: Int get() = values.size / STRIDE

    fun x(index: Int): Float = values[STRIDE * index]

    fun y(index: Int): Float = values[STRIDE * index + 1]

    fun score(index: Int): Float = values[STRIDE * index + 2]

    fun covariance(index: Int): Covariance? {
        val at = STRIDE * index + 3
        return if (values[at].isNaN()) null else Covariance(values[at], values[at + 1], values[at + 2])
    }

    /** Copies them to values with the [names] of their class. */
    fun toList(names: List<String>): List<Keypoint> =
        List(count) { Keypoint(names[it], x(it), y(it), score(it), covariance(it)) }

    internal companion object {
        /** x, y, score, and xx, xy, yy of the covariance, of which all three are NaN where there is none. */
        const val STRIDE = 6
    }
}
