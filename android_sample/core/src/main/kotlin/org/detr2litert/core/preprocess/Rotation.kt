package org.detr2litert.core.preprocess

/** The clockwise rotation that makes a picture upright. */
enum class Rotation(val degrees: Int) {
    NONE(0),
    RIGHT(90),
    HALF(180),
    LEFT(270),
    ;

    /** Whether width and height are exchanged. */
    val swapsSides: Boolean get() = this == RIGHT || this == LEFT

    companion object {
        /** @throws IllegalArgumentException unless [degrees] is a multiple of 90. */
        fun of(degrees: Int): Rotation {
            val turn = degrees.mod(360)
            return requireNotNull(entries.firstOrNull { it.degrees == turn }) { "$degrees degrees is not a multiple of 90" }
        }

        /**
         * The rotation that makes a camera frame upright on the screen.
         *
         * @param sensor CameraCharacteristics.SENSOR_ORIENTATION in degrees.
         * @param display the screen's rotation from its natural orientation, in degrees (Display.getRotation * 90).
         * @param front whether the camera faces the user, which reverses the direction.
         */
        fun ofCamera(sensor: Int, display: Int, front: Boolean): Rotation =
            of(if (front) sensor + display else sensor - display)
    }
}
