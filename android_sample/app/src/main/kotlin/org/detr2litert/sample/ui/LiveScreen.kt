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
import org.detr2litert.core.pipeline.FrameMailbox
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.detector.engine.DetectorEngine
import org.detr2litert.sample.camera.CameraChoice
import org.detr2litert.sample.camera.CameraFeed
import org.detr2litert.sample.camera.FrameTurn
import org.detr2litert.sample.camera.PreviewTransform

/**
 * Controls the camera: its preview, and its frames to the engine. Main thread only.
 *
 * @param onFailure receives the reason in one line.
 */
class LiveScreen(
    private val preview: TextureView,
    private val overlay: DetectionOverlay,
    private val engine: DetectorEngine,
    private val sources: SourceNumber,
    private val cameras: CameraManager,
    private val displays: DisplayManager,
    private val onFailure: (String) -> Unit,
) {
    private val transform = PreviewTransform()
    private var feed: CameraFeed? = null
    private var choice: CameraChoice? = null
    private var started = false

    // A half turn of the screen is not a configuration change, so the display is observed.
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

    /** Shows the preview and starts the camera if it is not running; the permission must be granted. */
    fun start() {
        if (started) {
            feed?.let { it.turn = FrameTurn(it.turn.rotation, sources.next()) }
            return
        }
        started = true
        preview.visibility = View.VISIBLE
        preview.surfaceTextureListener = textureListener
        displays.registerDisplayListener(displayListener, Handler(Looper.getMainLooper()))
        if (preview.isAvailable) preview.surfaceTexture?.let { openCamera(it) }
    }

    /** Stops the camera and hides the preview and its detections; pending results are dropped. */
    fun stop() {
        if (!started) return
        started = false
        displays.unregisterDisplayListener(displayListener)
        preview.surfaceTextureListener = null
        closeCamera()
        sources.next()
        overlay.clear()
        overlay.mirrored = false
        preview.visibility = View.GONE
    }

    private fun openCamera(texture: SurfaceTexture) {
        if (feed != null) return
        val found = try {
            CameraChoice.find(cameras)
        } catch (error: CameraAccessException) {
            return fail("the cameras cannot be listed (${error.message})")
        } catch (error: IllegalArgumentException) {
            return fail("a camera was removed (${error.message})")
        } ?: return fail("this phone has no usable camera")
        choice = found
        overlay.mirrored = found.isFront
        texture.setDefaultBufferSize(found.preview.width, found.preview.height)
        val mailbox = FrameMailbox().also { engine.mailbox = it }
        val turn = FrameTurn(rotation(found), sources.next())
        val opened = CameraFeed(cameras, found, mailbox, turn, engine::frameArrived) { failed, reason ->
            if (failed === feed) fail(reason)
        }
        feed = opened
        place(found, turn.rotation)
        opened.start(Surface(texture))
    }

    /** Stops after a failure, so that the next [start] tries again. */
    private fun fail(reason: String) {
        stop()
        onFailure(reason)
    }

    private fun closeCamera() {
        feed?.stop()
        feed = null
        choice = null
    }

    /** Rotates preview and frames with the screen; frames of the previous rotation are dropped. */
    private fun follow() {
        val camera = choice ?: return
        val running = feed ?: return
        val rotation = rotation(camera)
        if (rotation != running.turn.rotation) {
            running.turn = FrameTurn(rotation, sources.next())
            overlay.clear()
        }
        place(camera, rotation)
    }

    private fun rotation(camera: CameraChoice) = Rotation.ofCamera(camera.sensorDegrees, displayDegrees(), camera.isFront)

    private fun displayDegrees() = PreviewTransform.degrees(preview.display?.rotation ?: Surface.ROTATION_0)

    private fun place(camera: CameraChoice, rotation: Rotation) {
        val width = if (rotation.swapsSides) camera.analysis.height else camera.analysis.width
        val height = if (rotation.swapsSides) camera.analysis.width else camera.analysis.height
        preview.setTransform(transform.of(preview.width, preview.height, width, height, displayDegrees()))
    }
}
