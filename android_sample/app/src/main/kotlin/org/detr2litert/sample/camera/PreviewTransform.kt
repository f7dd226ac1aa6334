package org.detr2litert.sample.camera

import android.graphics.Matrix
import android.view.Surface
import org.detr2litert.core.draw.Letterbox

/** How a TextureView must place the camera's picture: upright, whole and undistorted in every orientation of the screen. */
internal class PreviewTransform {
    private val letterbox = Letterbox()
    private val matrix = Matrix()

    /**
     * The camera service already turns the picture upright for the phone's natural orientation, and the view stretches it
     * over its own bounds. What is left is to undo the stretch, with the sides exchanged if the screen is turned a quarter,
     * and to turn the picture against the screen.
     *
     * @param pictureWidth the picture's size in pixels as it is upright on the screen; only its shape matters.
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
        /** Degrees that the screen is turned from its natural orientation, from Display.getRotation. */
        fun degrees(displayRotation: Int): Int = when (displayRotation) {
            Surface.ROTATION_90 -> 90
            Surface.ROTATION_180 -> 180
            Surface.ROTATION_270 -> 270
            else -> 0
        }
    }
}
