package org.detr2litert.core.decode

import org.detr2litert.core.manifest.Manifest

/**
 * A detected object.
 *
 * @property className the name of [classIndex] in the bundle's manifest.
 * @property score 0..1.
 * @property left with [top], [right] and [bottom] the box in the picture's pixels.
 * @property mask the object's pixels; null where the detector gives no masks.
 * @property keypoints of the object, in the order of the manifest; null where its class has none.
 */
data class Detection(
    val classIndex: Int,
    val className: String,
    val score: Float,
    val left: Float,
    val top: Float,
    val right: Float,
    val bottom: Float,
    val mask: Mask? = null,
    val keypoints: List<Keypoint>? = null,
)

/** Copies these detections to immutable values, best first, with the class names of [manifest]. */
fun Detections.toList(manifest: Manifest): List<Detection> = List(count) { index ->
    Detection(
        classIndex[index],
        manifest.className(classIndex[index]),
        score[index],
        left(index),
        top(index),
        right(index),
        bottom(index),
        masks[index],
        keypoints[index]?.toList(manifest.keypointNames(classIndex[index])),
    )
}
