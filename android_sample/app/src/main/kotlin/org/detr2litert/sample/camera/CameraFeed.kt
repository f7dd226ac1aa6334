package org.detr2litert.sample.camera

import android.annotation.SuppressLint
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.view.Surface
import org.detr2litert.core.pipeline.FrameMailbox
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.core.preprocess.YuvConverter
import org.detr2litert.detector.yuvPlanes

/** How frames are turned to be upright on the screen, and the [SourceNumber] of those turned that way. */
class FrameTurn(val rotation: Rotation, val source: Int)

/**
 * A running camera: the preview goes straight to a surface, and every frame, upright and in RGB, into a mailbox.
 *
 * The two do not wait for each other. A frame's buffer is given back as soon as it is converted, on the camera's own thread,
 * whether or not inference keeps up: a stream whose buffers are held would stop the preview too.
 *
 * @param mailbox where upright frames go, this feed's alone; [onFrame] is called after each, on the camera's thread.
 * @param turn for the first frames.
 * @param onFailure called on the main thread, at most once, with this feed and one line that says why; it is stopped then.
 */
class CameraFeed(
    private val manager: CameraManager,
    private val choice: CameraChoice,
    private val mailbox: FrameMailbox,
    @Volatile var turn: FrameTurn,
    private val onFrame: () -> Unit,
    private val onFailure: (CameraFeed, String) -> Unit,
) {
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val main = Handler(Looper.getMainLooper())
    private val converter = YuvConverter()
    private val reader = ImageReader.newInstance(
        choice.analysis.width,
        choice.analysis.height,
        ImageFormat.YUV_420_888,
        READER_IMAGES,
    )

    // Used by the camera's thread alone.
    private var device: CameraDevice? = null
    private var surface: Surface? = null
    private var opening = false
    private var stopped = false

    /** Opens the camera; permission must have been granted. The feed cannot be started twice. It releases [preview]. */
    fun start(preview: Surface) {
        reader.setOnImageAvailableListener(::convertNewest, handler)
        handler.post { open(preview) }
    }

    /** Closes everything, in order, on the camera's thread; returns at once. */
    fun stop() {
        if (thread.isAlive) handler.post(::shutDown)
    }

    @SuppressLint("MissingPermission")
    private fun open(preview: Surface) {
        if (stopped) return preview.release()
        surface = preview
        opening = true
        guarded {
            try {
                manager.openCamera(choice.id, DeviceCallback(preview), handler)
            } catch (error: Exception) {
                opening = false
                throw error
            }
        }
    }

    /** The thread ends when the camera has closed: one that is still opening would otherwise stay open for ever. */
    private fun shutDown() {
        if (stopped) return
        stopped = true
        device?.close() // and its session with it
        reader.close()
        surface?.release()
        if (device == null && !opening) thread.quitSafely()
    }

    private fun convertNewest(reader: ImageReader) {
        if (stopped) return
        val image = reader.acquireLatestImage() ?: return
        val now = turn
        image.use { converter.convert(it.yuvPlanes(), now.rotation, mailbox.back()) }
        mailbox.publish(now.source)
        onFrame()
    }

    private inner class DeviceCallback(private val preview: Surface) : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            opening = false
            device = camera
            if (stopped) return camera.close()
            guarded {
                @Suppress("DEPRECATION") // the replacement needs API 28
                camera.createCaptureSession(listOf(preview, reader.surface), SessionCallback(camera, preview), handler)
            }
        }

        override fun onDisconnected(camera: CameraDevice) = lost(camera, "another app took the camera")

        override fun onError(camera: CameraDevice, error: Int) = lost(camera, "the camera failed (error $error)")

        override fun onClosed(camera: CameraDevice) {
            thread.quitSafely()
        }

        private fun lost(camera: CameraDevice, reason: String) {
            opening = false
            device = camera
            camera.close()
            fail(reason)
        }
    }

    private inner class SessionCallback(private val camera: CameraDevice, private val preview: Surface) :
        CameraCaptureSession.StateCallback() {
        override fun onConfigured(configured: CameraCaptureSession) {
            if (stopped) return
            guarded {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
                    addTarget(preview)
                    addTarget(reader.surface)
                    set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                }
                configured.setRepeatingRequest(request.build(), null, handler)
            }
        }

        override fun onConfigureFailed(failed: CameraCaptureSession) = fail("the camera does not run at these sizes")
    }

    private inline fun guarded(action: () -> Unit) {
        try {
            action()
        } catch (error: CameraAccessException) {
            fail("the camera cannot be used (${error.message})")
        } catch (error: SecurityException) {
            fail("this app may not use the camera (${error.message})")
        } catch (error: IllegalStateException) {
            // The device was closed between a callback and its handling.
            fail("the camera was closed (${error.message})")
        } catch (error: IllegalArgumentException) {
            // The preview's surface went away meanwhile, or the camera was unplugged.
            fail("the camera cannot be started (${error.message})")
        }
    }

    private fun fail(reason: String) {
        if (stopped) return
        shutDown()
        main.post { onFailure(this, reason) }
    }

    private companion object {
        /** One being converted, one arriving, one to spare. */
        const val READER_IMAGES = 3
    }
}
