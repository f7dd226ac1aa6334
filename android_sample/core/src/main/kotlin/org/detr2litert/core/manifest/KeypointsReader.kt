package org.detr2litert.core.manifest

import org.detr2litert.core.json.JsonObject

/** Reads `postprocess.keypoints` of a manifest, with the bounds of `manifest.schema.json`. */
object KeypointsReader {
    private const val NAME = 512
    private const val POINT_NAME = 256
    private const val CLASSES = 4096
    private const val LAST_CLASS = 65_535
    private const val POINTS = 1024
    private const val LINES = 4096
    private val WEIGHT = 0.0..1e6
    private val SIGMA = 1e-6..1e6

    /** @throws org.detr2litert.core.json.JsonShapeException if it violates the schema. */
    fun read(json: JsonObject): KeypointsSpec {
        json.allowOnly(setOf("output", "score_weight", "classes"))
        val classes = json.objects("classes", CLASSES).map(::ofClass)
        if (classes.isEmpty()) json.fail("classes is empty")
        return KeypointsSpec(json.text("output", 1, NAME), json.number("score_weight", WEIGHT), classes)
    }

    private fun ofClass(json: JsonObject): ClassKeypoints {
        json.allowOnly(setOf("class_index", "names", "skeleton", "sigmas"))
        return ClassKeypoints(
            classIndex = json.whole("class_index", 0, LAST_CLASS),
            names = json.texts("names", 0, POINT_NAME, POINTS),
            skeleton = json.pairs("skeleton", 0, POINTS - 1, LINES),
            sigmas = json.numbers("sigmas", SIGMA, POINTS),
        )
    }
}
