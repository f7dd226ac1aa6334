package org.detr2litert.core.decode

import org.detr2litert.core.manifest.Manifest

/**
 * One detected object, as an immutable value.
 *
 * @property className of [classIndex], from the bundle's manifest.
 * @property score 0..1.
 * @property left and [top], [right], [bottom]: its box in the picture's pixels.
 */
data class Detection(
    val classIndex: Int,
    val className: String,
    val score: Float,
    val left: Float,
    val top: Float,
    val right: Float,
    val bottom: Float,
)

/** These detections as values of their own, best first, with the class names of [manifest]. */
fun Detections.toList(manifest: Manifest): List<Detection> = List(count) { index ->
    Detection(
        classIndex[index],
        manifest.className(classIndex[index]),
        score[index],
        left(index),
        top(index),
        right(index),
        bottom(index),
    )
}
