package org.detr2litert.core.manifest

import org.detr2litert.core.tensor.TensorSpec

/** Everything a runtime needs to know about a bundle; see `host_runtime/manifest.schema.json` for the JSON layout. */
data class Manifest(
    val variant: String,
    val target: String,
    val weights: Weights,
    val versions: Map<String, String>,
    val preprocess: PreprocessSpec,
    val graphA: GraphSpec,
    val graphB: GraphSpec,
    val hostStep: HostProgram,
    val postprocess: PostprocessSpec,
    val classes: List<String?>,
    val files: Map<String, FileRecord>,
    val golden: Golden?,
) {
    /** A class's name; a hole of the list (COCO's sparse ids) is called by its number. */
    fun className(index: Int): String = classes[index] ?: "class $index"

    companion object {
        const val SCHEMA_VERSION = 1
        const val NAME = "manifest.json"
        const val HOST_PARAMS = "host_params.safetensors"
    }
}

/** Where the weights came from; [random] marks seeded random weights, which detect nothing. */
data class Weights(val source: String, val sha256: String, val random: Boolean)

enum class Resize { BILINEAR, BILINEAR_ANTIALIAS }

/**
 * How a picture becomes graph A's input [1, 3, height, width], red first: resized to [height] x [width], then
 * x = (pixel * [scale] - [mean]) / [std] by channel.
 */
data class PreprocessSpec(
    val height: Int,
    val width: Int,
    val resize: Resize,
    val scale: Double,
    val mean: List<Double>,
    val std: List<Double>,
)

/** One .tflite file and its signature's tensors, by their own names. */
data class GraphSpec(val file: String, val signature: String, val inputs: List<TensorSpec>, val outputs: List<TensorSpec>)

/** One step of the host program: `output = op(inputs, attributes)`; attributes are [Number], [Boolean], [String] or lists. */
data class HostOp(val op: String, val inputs: List<String>, val output: String, val attributes: Map<String, Any?>)

/** The query selection between the graphs, as straight-line code in which each name is assigned once. */
data class HostProgram(
    val inputs: List<String>,
    val constants: List<TensorSpec>,
    val ops: List<HostOp>,
    val outputs: List<String>,
)

/**
 * How [boxes] [1, Q, 4] (cxcywh, fractions) and [logits] [1, Q, C] become detections: the [numSelect] best sigmoid scores of
 * queries x classes. [ignoredClasses] take their places there but are never reported.
 */
data class PostprocessSpec(val numSelect: Int, val boxes: String, val logits: String, val ignoredClasses: List<Int>)

/** A file's fingerprint: lower-case hex and length in bytes. */
data class FileRecord(val sha256: String, val bytes: Long)

/** A picture with every stage's recorded outputs. */
data class Golden(val image: String, val tensors: String, val detections: String, val threshold: Double)
