package org.detr2litert.core.decode

import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.host.HostOps
import org.detr2litert.core.host.TopK
import org.detr2litert.core.manifest.PostprocessSpec
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.preprocess.Placement
import kotlin.math.exp
import kotlin.math.ln

/**
 * Decodes graph B's boxes and logits to detections: the official post-processing, equal to `host_runtime.decode`.
 *
 * Sigmoid over all logits, the num_select best of queries x classes (ties by lower flattened index), those above the
 * threshold, ignored classes dropped, boxes from cxcywh fractions to pixels and clamped to the picture. NMS is optional and
 * not part of the official post-processing.
 *
 * Only logits that can pass the threshold enter the selection, which does not change the result, since they all rank before
 * the others. Where keypoints change the scores of the selected, all enter it, and the threshold and the order are of the scores
 * afterwards; see [KeypointDecoder]. After construction, only keypoints are allocated. Not thread-safe.
 *
 * @param queries Q of boxes [1, Q, 4] and logits [1, Q, C].
 * @param classes C.
 * @param input the pre-processing, which places a picture in the input; null for a picture that fills it.
 */
class Decoder(
    private val spec: PostprocessSpec,
    private val queries: Int,
    private val classes: Int,
    input: PreprocessSpec? = null,
) {
    private val placement = input?.let(::Placement)
    private val best = TopK(queries * classes)
    private val scores = FloatArray(queries * classes)
    private val ignored = BooleanArray(classes) { it in spec.ignoredClasses }
    private val nms = Nms(capacity)
    private val points = spec.keypoints?.let { KeypointDecoder(it, classes) }

    /** Ranks the selected by their scores with keypoints. */
    private val ranked = TopK(if (points == null) 0 else capacity)

    /** The maximum number of detections in a picture. */
    val capacity: Int get() = minOf(spec.numSelect, queries * classes)

    /**
     * @param boxes [1, Q, 4], centre x, centre y, width, height as fractions of the input.
     * @param logits [1, Q, C], before the sigmoid.
     * @param threshold exclusive lower bound of the scores.
     * @param nmsIou the IoU above which a box is suppressed by a better one of its class; null for no NMS.
     * @param into receives the result.
     * @param nmsAcrossClasses whether a better box of any class suppresses.
     * @param keypoints [1, Q, K, 7], if and only if the manifest has keypoints.
     * @throws GraphOutputException if a value is NaN, or one of the keypoints infinite.
     */
    fun decode(
        boxes: FloatArray,
        logits: FloatArray,
        width: Int,
        height: Int,
        threshold: Float,
        nmsIou: Float?,
        into: Detections,
        nmsAcrossClasses: Boolean = false,
        keypoints: FloatArray? = null,
    ) {
        require(boxes.size == 4 * queries && logits.size == queries * classes) { "boxes or logits have the wrong size" }
        val points = spec.keypoints?.let { queries * it.count * KeypointDecoder.VALUES }
        require(keypoints?.size == points) { "the keypoints have the wrong size" }
        refuseNaN(spec.boxes, boxes)
        if (keypoints != null) refuseInfinite(spec.keypoints!!.output, keypoints)
        val found = select(logits, threshold, keypoints)
        placement?.place(width, height)
        into.count = 0
        into.width = width
        into.height = height
        for (place in 0 until found) {
            val flat = best.index(if (keypoints == null) place else ranked.index(place))
            val label = flat % classes
            if (ignored[label]) continue
            val at = into.count++
            into.classIndex[at] = label
            into.query[at] = flat / classes
            into.masks[at] = null
            into.keypoints[at] = keypoints?.let { keypointsOf(it, flat / classes, label, width, height) }
            into.score[at] = scores[flat]
            toPixels(boxes, flat / classes, width.toFloat(), height.toFloat(), into.boxes, 4 * at)
        }
        if (nmsIou != null) nms.apply(into, nmsIou, nmsAcrossClasses)
    }

    /** Selects the best above the threshold, and returns how many: of [best], with [keypoints] by [ranked]. */
    private fun select(logits: FloatArray, threshold: Float, keypoints: FloatArray?): Int {
        val changing = points?.changesScores == true
        val floor = if (changing) Float.NEGATIVE_INFINITY else logitFloor(threshold)
        best.clear()
        for (flat in logits.indices) {
            val logit = logits[flat]
            if (logit.isNaN()) throw notANumber(spec.logits)
            if (logit < floor) continue
            scores[flat] = HostOps.sigmoid(logit)
            if (changing || scores[flat] > threshold) best.add(scores[flat], flat)
        }
        val found = best.select(spec.numSelect)
        if (points == null || keypoints == null) return found
        ranked.clear()
        for (place in 0 until found) {
            val flat = best.index(place)
            scores[flat] = points.score(scores[flat], keypoints, flat / classes, flat % classes)
            // A stable sort: of equal scores, the one that was better before.
            if (scores[flat] > threshold) ranked.add(scores[flat], place)
        }
        return ranked.select(found)
    }

    /** Converts one cxcywh box to left, top, right, bottom, in float32 as in Python. */
    private fun toPixels(boxes: FloatArray, query: Int, width: Float, height: Float, into: FloatArray, at: Int) {
        val scaleX = placement?.scaleX ?: width
        val scaleY = placement?.scaleY ?: height
        val offsetX = placement?.offsetX ?: 0f
        val offsetY = placement?.offsetY ?: 0f
        val halfWidth = 0.5f * boxes[4 * query + 2]
        val halfHeight = 0.5f * boxes[4 * query + 3]
        into[at] = ((boxes[4 * query] - halfWidth) * scaleX + offsetX).coerceIn(0f, width)
        into[at + 1] = ((boxes[4 * query + 1] - halfHeight) * scaleY + offsetY).coerceIn(0f, height)
        into[at + 2] = ((boxes[4 * query] + halfWidth) * scaleX + offsetX).coerceIn(0f, width)
        into[at + 3] = ((boxes[4 * query + 1] + halfHeight) * scaleY + offsetY).coerceIn(0f, height)
    }

    private fun keypointsOf(values: FloatArray, query: Int, classIndex: Int, width: Int, height: Int): Keypoints? =
        points?.decode(
            values,
            query,
            classIndex,
            placement?.scaleX ?: width.toFloat(),
            placement?.scaleY ?: height.toFloat(),
            placement?.offsetX ?: 0f,
            placement?.offsetY ?: 0f,
        )

    private fun refuseNaN(name: String, values: FloatArray) {
        for (value in values) if (value.isNaN()) throw notANumber(name)
    }

    private fun refuseInfinite(name: String, values: FloatArray) {
        for (value in values) if (!value.isFinite()) throw notANumber(name, "NaN or infinity")
    }

    private fun notANumber(name: String, what: String = "NaN") =
        GraphOutputException("'$name' contains $what: the graphs ran incorrectly on this accelerator or this picture")

    private companion object {
        /** A lower bound of the logits whose sigmoid passes [threshold], with a margin far above float32's rounding. */
        fun logitFloor(threshold: Float): Float {
            val share = threshold.toDouble() / (1 - threshold.toDouble())
            return if (share <= exp(-80.0) || share.isNaN()) Float.NEGATIVE_INFINITY else (ln(share) - 0.001).toFloat()
        }
    }
}
