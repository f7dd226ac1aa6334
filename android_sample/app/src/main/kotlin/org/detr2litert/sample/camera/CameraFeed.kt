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

/** The rotation that makes frames upright on the screen, and the [SourceNumber] of frames rotated so. */
class FrameTurn(val rotation: Rotation, val source: Int)

/**
 * A running camera with a preview on a surface and upright RGB frames in a mailbox.
 *
 * A frame's buffer is released as soon as it is converted, on the camera thread, regardless of inference: a stream without free
 * buffers would stall the preview, too.
 *
 * @param mailbox receives upright frames from this feed only; [onFrame] is called after each, on the camera thread.
 * @param turn the initial rotation.
 * @param onFailure called on the main thread, at most once, with this feed and the reason in one line; the feed stops.
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

    // Used on the camera thread only.
    private var device: CameraDevice? = null
    private var surface: Surface? = null
    private var opening = false
    private var stopped = false

    /** Opens the camera; the permission must be granted. Call once. The feed releases [preview]. */
    fun start(preview: Surface) {
        reader.setOnImageAvailableListener(::convertNewest, handler)
        handler.post { open(preview) }
    }

    /** Closes everything on the camera thread; returns immediately. */
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

    /** Stops the feed. The thread ends after the camera has closed: a camera still opening would otherwise stay open. */
    private fun shutDown() {
        if (stopped) return
        stopped = true
        device?.close() // closes its session, too
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

        override fun onDisconnected(camera: CameraDevice) = lost(camera, "the camera was taken by another app")

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

        override fun onConfigureFailed(failed: CameraCaptureSession) = fail("the camera does not support these sizes")
    }

    private inline fun guarded(action: () -> Unit) {
        try {
            action()
        } catch (error: CameraAccessException) {
            fail("the camera cannot be used (${error.message})")
        } catch (error: SecurityException) {
            fail("this app may not use the camera (${error.message})")
        } catch (error: IllegalStateException) {
            // The device was closed before the callback was handled.
            fail("the camera was closed (${error.message})")
        } catch (error: IllegalArgumentException) {
            // The preview's surface was released, or the camera was unplugged.
            fail("the camera cannot be started (${error.message})")
        }
    }

    private fun fail(reason: String) {
        if (stopped) return
        shutDown()
        main.post { onFailure(this, reason) }
    }

    private companion object {
        /** One being converted, one arriving, one spare. */
        const val READER_IMAGES = 3
    }
}
