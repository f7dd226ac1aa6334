package org.detr2litert.sample.camera

import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.util.Size
import kotlin.math.abs

/**
 * A camera and its stream sizes, in the sensor's orientation.
 *
 * @property preview size of the preview; same aspect ratio as [analysis], so that both show the same part of the scene.
 * @property analysis size of the analysed frames, YUV_420_888.
 * @property sensorDegrees CameraCharacteristics.SENSOR_ORIENTATION.
 */
class CameraChoice(val id: String, val preview: Size, val analysis: Size, val sensorDegrees: Int, val isFront: Boolean) {
    companion object {
        private const val ANALYSIS_AREA = 640 * 480
        private const val PREVIEW_AREA = 1440 * 1080

        /** The back camera, else any other; null if the phone has no usable camera. */
        fun find(manager: CameraManager): CameraChoice? {
            val known = manager.cameraIdList.map { it to manager.getCameraCharacteristics(it) }
            val back = known.firstOrNull { (_, about) ->
                about.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_BACK
            }
            return (listOfNotNull(back) + known).firstNotNullOfOrNull { (id, about) -> of(id, about) }
        }

        private fun of(id: String, about: CameraCharacteristics): CameraChoice? {
            val streams = about.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP) ?: return null
            val analysis = streams.getOutputSizes(ImageFormat.YUV_420_888).orEmpty()
                .minByOrNull { abs(it.width * it.height - ANALYSIS_AREA) } ?: return null
            val preview = streams.getOutputSizes(SurfaceTexture::class.java).orEmpty()
                .filter { it.width * analysis.height == it.height * analysis.width && it.width * it.height <= PREVIEW_AREA }
                .maxByOrNull { it.width * it.height } ?: analysis
            return CameraChoice(
                id,
                preview,
                analysis,
                about.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0,
                about.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT,
            )
        }
    }
}
