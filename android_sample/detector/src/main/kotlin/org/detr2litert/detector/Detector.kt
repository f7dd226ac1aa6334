package org.detr2litert.detector

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detection
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.toList
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.core.preprocess.YuvConverter
import org.detr2litert.detector.engine.InferenceThread
import java.io.File

/**
 * A bundle's detector in three calls: [open] or [openAsset], [detect], [close].
 *
 * Every call waits for its result, so none is for the main thread; any other thread will do, several at once too. The work
 * itself is done in order on the process's one inference thread. Who wants frames without waiting, and without new objects for
 * each, uses [org.detr2litert.detector.engine.DetectorEngine] instead, as the sample app does.
 *
 * @property manifest what the bundle says about itself: class names, input size, where the weights came from.
 */
class Detector private constructor(val manifest: Manifest, private val pipeline: DetectorPipeline) : AutoCloseable {
    // Used by the inference thread alone.
    private val converter = YuvConverter()
    private val picture = Picture(1, 1)
    private val detections = Detections(pipeline.capacity)
    private var closed = false

    /**
     * Detects objects in an upright bitmap, best first.
     *
     * @param threshold scores strictly above it are reported.
     * @param nmsIou IoU above which a box is dropped for a better one of its class; null, the original's way, drops none.
     * @throws org.detr2litert.core.engine.EngineException if a graph fails.
     * @throws org.detr2litert.core.GraphOutputException if a graph gives what no graph can give.
     */
    fun detect(bitmap: Bitmap, threshold: Float = DEFAULT_THRESHOLD, nmsIou: Float? = null): List<Detection> =
        detect(threshold, nmsIou) { bitmap.copyPixels(picture) }

    /**
     * Detects objects in a camera frame (YUV_420_888), best first; boxes are in the upright picture's pixels.
     *
     * @param rotation what makes the frame upright, see [Rotation.ofCamera].
     */
    fun detect(
        frame: Image,
        rotation: Rotation,
        threshold: Float = DEFAULT_THRESHOLD,
        nmsIou: Float? = null,
    ): List<Detection> = detect(threshold, nmsIou) { converter.convert(frame.yuvPlanes(), rotation, picture) }

    private fun detect(threshold: Float, nmsIou: Float?, fill: () -> Unit): List<Detection> = InferenceThread.call {
        check(!closed) { "the detector is closed" }
        fill()
        pipeline.detect(picture, threshold, nmsIou, detections)
        detections.toList(manifest)
    }

    /** Closes the graphs and gives their memory back; a second call does nothing. */
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
         * With the default options both graphs run on the GPU or not at all; the CPU is used only if [options] say so.
         *
         * @throws org.detr2litert.core.BundleException if the bundle is not sound.
         * @throws org.detr2litert.core.engine.EngineException if a graph does not run here.
         */
        fun open(context: Context, root: File, options: EngineOptions = EngineOptions()): Detector =
            InferenceThread.call { make(context, root, options) }

        /** Opens the bundle that the app carries as `assets/bundles/NAME`, copied out of the app first; as [open]. */
        fun openAsset(context: Context, name: String, options: EngineOptions = EngineOptions()): Detector =
            InferenceThread.call { make(context, BundleStore(context.applicationContext).carried(name), options) }

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
