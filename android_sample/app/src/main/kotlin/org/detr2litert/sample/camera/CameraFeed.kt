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
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.core.preprocess.YuvConverter

/**
 * A running camera: the preview goes straight to a surface, and every frame, upright and in RGB, into a mailbox.
 *
 * The two do not wait for each other. A frame's buffer is given back as soon as it is converted, on the camera's own thread,
 * whether or not inference keeps up: a stream whose buffers are held would stop the preview too.
 *
 * @param mailbox where upright frames go; [onFrame] is called after each, on the camera's thread.
 * @param onFailure called on the main thread, once, with one line that says why.
 */
class CameraFeed(
    private val manager: CameraManager,
    private val choice: CameraChoice,
    private val mailbox: FrameMailbox,
    private val onFrame: () -> Unit,
    private val onFailure: (String) -> Unit,
) {
    /** How frames are turned to be upright on the screen; follows the display. */
    @Volatile
    var rotation = Rotation.NONE

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
    private var session: CameraCaptureSession? = null
    private var stopped = false

    /** Opens the camera; permission must have been granted. The feed cannot be started twice. */
    @SuppressLint("MissingPermission")
    fun start(preview: Surface) {
        reader.setOnImageAvailableListener(::convertNewest, handler)
        handler.post {
            if (!stopped) guarded { manager.openCamera(choice.id, DeviceCallback(preview), handler) }
        }
    }

    /** Closes everything, in order, on the camera's thread; returns at once. */
    fun stop() {
        handler.post {
            stopped = true
            session?.close()
            device?.close()
            session = null
            device = null
            reader.close()
            thread.quitSafely()
        }
    }

    private fun convertNewest(reader: ImageReader) {
        if (stopped) return
        val image = reader.acquireLatestImage() ?: return
        image.use {
            converter.convert(YuvImages.planes(it), rotation, mailbox.back())
        }
        mailbox.publish()
        onFrame()
    }

    private inner class DeviceCallback(private val preview: Surface) : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (stopped) return camera.close()
            device = camera
            guarded {
                @Suppress("DEPRECATION") // the replacement needs API 28
                camera.createCaptureSession(listOf(preview, reader.surface), SessionCallback(camera, preview), handler)
            }
        }

        override fun onDisconnected(camera: CameraDevice) {
            camera.close()
            device = null
            fail("another app took the camera")
        }

        override fun onError(camera: CameraDevice, error: Int) {
            camera.close()
            device = null
            fail("the camera failed (error $error)")
        }
    }

    private inner class SessionCallback(private val camera: CameraDevice, private val preview: Surface) :
        CameraCaptureSession.StateCallback() {
        override fun onConfigured(configured: CameraCaptureSession) {
            if (stopped) return configured.close()
            session = configured
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
        }
    }

    private fun fail(reason: String) {
        if (stopped) return
        stop()
        main.post { onFailure(reason) }
    }

    private companion object {
        /** One being converted, one arriving, one to spare. */
        const val READER_IMAGES = 3
    }
}
