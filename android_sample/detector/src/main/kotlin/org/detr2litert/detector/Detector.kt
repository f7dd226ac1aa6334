package org.detr2litert.detector

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detection
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.toList
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.core.preprocess.YuvConverter
import org.detr2litert.detector.engine.InferenceThread
import java.io.File

/**
 * An object detector from a bundle: [open] or [openAsset], [detect], [close].
 *
 * Calls block, so use a background thread. Thread-safe: the process's one inference thread does the work, in order. For camera
 * streams use [org.detr2litert.detector.engine.DetectorEngine], which neither blocks nor allocates for each frame.
 *
 * @property manifest the bundle's manifest: class names, input size, the source of the weights.
 */
class Detector private constructor(val manifest: Manifest, private val pipeline: DetectorPipeline) : AutoCloseable {
    /** The form of the graphs that runs: on the GPU the native one, if the bundle has it and the GPU accepts it. */
    val form: FormInUse get() = pipeline.form

    // Used on the inference thread only.
    private val converter = YuvConverter()
    private val picture = Picture(1, 1)
    private val detections = Detections(pipeline.capacity)
    private var closed = false

    /**
     * Detects objects in an upright bitmap, best first.
     *
     * @param threshold exclusive lower bound of the scores.
     * @param nmsIou the IoU above which a box is suppressed by a better one of its class; null, as in the original, for no NMS.
     * @param nmsAcrossClasses whether a better box of any class suppresses.
     * @throws org.detr2litert.core.engine.EngineException if a graph fails.
     * @throws org.detr2litert.core.GraphOutputException if a graph's output is invalid, for example NaN.
     */
    fun detect(
        bitmap: Bitmap,
        threshold: Float = DEFAULT_THRESHOLD,
        nmsIou: Float? = null,
        nmsAcrossClasses: Boolean = false,
    ): List<Detection> = detect(threshold, nmsIou, nmsAcrossClasses) { bitmap.copyPixels(picture) }

    /**
     * Detects objects in a camera frame (YUV_420_888), best first; boxes are in the upright picture's pixels.
     *
     * @param rotation makes the frame upright, see [Rotation.ofCamera].
     */
    fun detect(
        frame: Image,
        rotation: Rotation,
        threshold: Float = DEFAULT_THRESHOLD,
        nmsIou: Float? = null,
        nmsAcrossClasses: Boolean = false,
    ): List<Detection> =
        detect(threshold, nmsIou, nmsAcrossClasses) { converter.convert(frame.yuvPlanes(), rotation, picture) }

    private fun detect(
        threshold: Float,
        nmsIou: Float?,
        nmsAcrossClasses: Boolean,
        fill: () -> Unit,
    ): List<Detection> = InferenceThread.call {
        check(!closed) { "the detector is closed" }
        fill()
        pipeline.detect(picture, threshold, nmsIou, detections, nmsAcrossClasses)
        detections.toList(manifest)
    }

    /** Closes the graphs and releases their memory; a second call has no effect. */
    override fun close() = InferenceThread.call {
        if (!closed) {
            closed = true
            pipeline.close()
            InferenceThread.release()
        }
    }

    companion object {
        private const val DEFAULT_THRESHOLD = 0.5f

        /**
         * Opens the bundle in the folder [root]: checks every file and compiles both graphs, which may take seconds.
         *
         * By default both graphs run entirely on the GPU or opening fails; the CPU is used only if [options] select it.
         *
         * @throws org.detr2litert.core.BundleException if the bundle is invalid.
         * @throws org.detr2litert.core.engine.EngineException if a graph cannot run on this device.
         */
        fun open(context: Context, root: File, options: EngineOptions = EngineOptions()): Detector =
            InferenceThread.call { make(context, root, options) }

        /** As [open], for the bundle packaged as `assets/bundles/NAME`, which is copied to the app's files first. */
        fun openAsset(context: Context, name: String, options: EngineOptions = EngineOptions()): Detector =
            InferenceThread.call { make(context, BundleStore(context.applicationContext).packaged(name), options) }

        private fun make(context: Context, root: File, options: EngineOptions): Detector {
            val bundle = Bundle.open(root)
            val session = InferenceThread.acquire(context)
            try {
                return Detector(bundle.manifest, session.open(bundle, options))
            } catch (error: Throwable) {
                InferenceThread.release()
                throw error
            }
        }
    }
}
