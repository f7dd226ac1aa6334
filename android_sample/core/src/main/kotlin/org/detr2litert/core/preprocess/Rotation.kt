package org.detr2litert.core.preprocess

/** Quarter turns clockwise that make a picture upright. */
enum class Rotation(val degrees: Int) {
    NONE(0),
    RIGHT(90),
    HALF(180),
    LEFT(270),
    ;

    /** Whether width and height change places. */
    val swapsSides: Boolean get() = this == RIGHT || this == LEFT

    companion object {
        /** @throws IllegalArgumentException unless [degrees] is a multiple of 90. */
        fun of(degrees: Int): Rotation {
            val turn = degrees.mod(360)
            return requireNotNull(entries.firstOrNull { it.degrees == turn }) { "$degrees degrees is no quarter turn" }
        }

        /**
         * How far a camera's frame must be turned to be upright on the screen.
         *
         * @param sensor CameraCharacteristics.SENSOR_ORIENTATION in degrees.
         * @param display how far the screen is turned from its natural orientation, in degrees (Display.getRotation * 90).
         * @param front whether the camera faces the user, which turns the other way.
         */
        fun ofCamera(sensor: Int, display: Int, front: Boolean): Rotation =
            of(if (front) sensor + display else sensor - display)
    }
}
