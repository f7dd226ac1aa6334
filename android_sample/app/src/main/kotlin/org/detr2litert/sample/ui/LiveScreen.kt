package org.detr2litert.sample.ui

import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraManager
import android.hardware.display.DisplayManager
import android.os.Handler
import android.os.Looper
import android.view.Surface
import android.view.TextureView
import android.view.View
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.sample.camera.CameraChoice
import org.detr2litert.sample.camera.CameraFeed
import org.detr2litert.sample.camera.PreviewTransform
import org.detr2litert.sample.engine.DetectorEngine

/**
 * The camera's preview, and its frames on their way to the engine. Main thread only.
 *
 * @param onFailure one line that says why there is no camera.
 */
class LiveScreen(
    private val preview: TextureView,
    private val overlay: DetectionOverlay,
    private val engine: DetectorEngine,
    private val cameras: CameraManager,
    private val displays: DisplayManager,
    private val onFailure: (String) -> Unit,
) {
    private val transform = PreviewTransform()
    private var feed: CameraFeed? = null
    private var surface: Surface? = null
    private var choice: CameraChoice? = null
    private var started = false

    // A half turn of the screen is no change of configuration, so the display itself is asked.
    private val displayListener = object : DisplayManager.DisplayListener {
        override fun onDisplayAdded(displayId: Int) = Unit

        override fun onDisplayRemoved(displayId: Int) = Unit

        override fun onDisplayChanged(displayId: Int) = follow()
    }

    private val textureListener = object : TextureView.SurfaceTextureListener {
        override fun onSurfaceTextureAvailable(texture: SurfaceTexture, width: Int, height: Int) = openCamera(texture)

        override fun onSurfaceTextureSizeChanged(texture: SurfaceTexture, width: Int, height: Int) = follow()

        override fun onSurfaceTextureDestroyed(texture: SurfaceTexture): Boolean {
            closeCamera()
            return true
        }

        override fun onSurfaceTextureUpdated(texture: SurfaceTexture) = Unit
    }

    /** Shows the preview and starts the camera; permission must have been granted. */
    fun start() {
        if (started) return
        started = true
        preview.visibility = View.VISIBLE
        preview.surfaceTextureListener = textureListener
        displays.registerDisplayListener(displayListener, Handler(Looper.getMainLooper()))
        if (preview.isAvailable) preview.surfaceTexture?.let { openCamera(it) }
    }

    /** Stops the camera and hides the preview. */
    fun stop() {
        if (!started) return
        started = false
        displays.unregisterDisplayListener(displayListener)
        preview.surfaceTextureListener = null
        closeCamera()
        overlay.mirrored = false
        preview.visibility = View.GONE
        engine.mailbox.clear()
    }

    private fun openCamera(texture: SurfaceTexture) {
        if (feed != null) return
        val found = try {
            CameraChoice.find(cameras)
        } catch (error: CameraAccessException) {
            return fail("the cameras cannot be listed (${error.message})")
        } ?: return fail("this phone has no camera that can be used")
        choice = found
        overlay.mirrored = found.isFront
        texture.setDefaultBufferSize(found.preview.width, found.preview.height)
        val target = Surface(texture).also { surface = it }
        feed = CameraFeed(cameras, found, engine.mailbox, engine::frameArrived, ::fail)
        follow()
        feed?.start(target)
    }

    /** So that the next [start] tries again. */
    private fun fail(reason: String) {
        stop()
        onFailure(reason)
    }

    private fun closeCamera() {
        feed?.stop()
        feed = null
        surface?.release()
        surface = null
    }

    /** Turns preview and frames with the screen. */
    private fun follow() {
        val camera = choice ?: return
        val degrees = PreviewTransform.degrees(preview.display?.rotation ?: Surface.ROTATION_0)
        val turn = Rotation.ofCamera(camera.sensorDegrees, degrees, camera.isFront)
        feed?.rotation = turn
        val width = if (turn.swapsSides) camera.analysis.height else camera.analysis.width
        val height = if (turn.swapsSides) camera.analysis.width else camera.analysis.height
        preview.setTransform(transform.of(preview.width, preview.height, width, height, degrees))
    }
}
