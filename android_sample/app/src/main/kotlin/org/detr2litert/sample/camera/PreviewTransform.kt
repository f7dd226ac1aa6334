package org.detr2litert.sample.camera

import android.graphics.Matrix
import android.view.Surface
import org.detr2litert.core.draw.Letterbox

/** The transform of a TextureView that shows the camera upright, whole and undistorted at every screen rotation. */
internal class PreviewTransform {
    private val letterbox = Letterbox()
    private val matrix = Matrix()

    /**
     * The camera service makes the picture upright for the phone's natural orientation, and the view stretches it over its
     * bounds. The transform undoes the stretch, with the sides exchanged at a quarter turn, and the screen's rotation.
     *
     * @param pictureWidth with [pictureHeight] the size of the picture when upright on the screen; only the ratio matters.
     * @return the matrix for TextureView.setTransform; the same object at every call.
     */
    fun of(viewWidth: Int, viewHeight: Int, pictureWidth: Int, pictureHeight: Int, displayDegrees: Int): Matrix {
        letterbox.fit(pictureWidth, pictureHeight, viewWidth, viewHeight)
        val shownWidth = pictureWidth * letterbox.scale
        val shownHeight = pictureHeight * letterbox.scale
        val quarterTurn = displayDegrees % 180 != 0
        val centreX = viewWidth / 2f
        val centreY = viewHeight / 2f
        matrix.setScale(
            (if (quarterTurn) shownHeight else shownWidth) / maxOf(viewWidth, 1),
            (if (quarterTurn) shownWidth else shownHeight) / maxOf(viewHeight, 1),
            centreX,
            centreY,
        )
        matrix.postRotate(-displayDegrees.toFloat(), centreX, centreY)
        return matrix
    }

    companion object {
        /** The screen's rotation from its natural orientation in degrees, from Display.getRotation. */
        fun degrees(displayRotation: Int): Int = when (displayRotation) {
            Surface.ROTATION_90 -> 90
            Surface.ROTATION_180 -> 180
            Surface.ROTATION_270 -> 270
            else -> 0
        }
    }
}
