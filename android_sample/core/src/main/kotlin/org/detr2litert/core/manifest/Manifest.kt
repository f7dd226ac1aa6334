package org.detr2litert.core.manifest

import org.detr2litert.core.tensor.TensorSpec

/**
 * A bundle's manifest; see `host_runtime/manifest.schema.json` for the JSON layout.
 *
 * @property graphB null in a bundle of one graph: [graphA] goes from the image to boxes and logits, and [hostStep] is empty.
 * @property graphM computes the masks of kept queries, see [MaskSpec]; null where detections have no masks.
 */
data class Manifest(
    val variant: String,
    val target: String,
    val weights: Weights,
    val versions: Map<String, String>,
    val preprocess: PreprocessSpec,
    val graphA: GraphSpec,
    val graphB: GraphSpec?,
    val hostStep: HostProgram,
    val postprocess: PostprocessSpec,
    val classes: List<String?>,
    val files: Map<String, FileRecord>,
    val golden: Golden?,
    val settings: Map<String, SettingRecord> = emptyMap(),
    val native: NativeFiles? = null,
    val graphM: GraphSpec? = null,
) {
    /** The graph that gives boxes and logits. */
    val lastGraph: GraphSpec get() = graphB ?: graphA

    /** The class's name, or "class N" for an unused index (COCO's ids have gaps). */
    fun className(index: Int): String = classes[index] ?: "class $index"

    /** The names of the keypoints of a class's objects, in their order; empty for a class without. */
    fun keypointNames(classIndex: Int): List<String> =
        postprocess.keypoints?.classes?.firstOrNull { it.classIndex == classIndex }?.names.orEmpty()

    companion object {
        /**
         * Since 2 a bundle may have a native form, since 3 one graph, since 4 masks, since 5 keypoints, since 6 a native form
         * that takes pixels; every version is read.
         */
        const val SCHEMA_VERSION = 6
        const val NAME = "manifest.json"
        const val HOST_PARAMS = "host_params.safetensors"
    }
}

/** The source of the weights; [random] marks seeded random weights, which detect nothing. */
data class Weights(val source: String, val sha256: String, val random: Boolean)

/**
 * A setting that the detector was built with, for display: its [value] is a [String], a [Double] or a list of [Double]s;
 * [requested] if the user chose it.
 */
data class SettingRecord(val value: Any, val origin: String, val requested: Boolean)

/** How a picture of another aspect ratio gets into the input; see [org.detr2litert.core.preprocess.Placement]. */
enum class Fit { STRETCH, LETTERBOX, LETTERBOX_TOP_LEFT }

/** Interpolation of the resize; see [org.detr2litert.core.preprocess.Preprocessor]. */
enum class Resize { BILINEAR, BILINEAR_ANTIALIAS, BILINEAR_8BIT }

/**
 * The pre-processing to graph A's input [1, channels, height, width], RGB or grey: resize to [height] x [width], then
 * x = (pixel * [scale] - [mean]) / [std] per channel. With another [fit] than stretch, pixels outside of the picture have
 * the values [fill]. A native form may take the pixels themselves, see [NativeFiles.pixels].
 */
data class PreprocessSpec(
    val height: Int,
    val width: Int,
    val resize: Resize,
    val scale: Double,
    val mean: List<Double>,
    val std: List<Double>,
    val fit: Fit = Fit.STRETCH,
    val fill: List<Double> = emptyList(),
) {
    /** 3 for RGB, 1 for grey. */
    val channels: Int get() = mean.size

    /** Whether the resized and padded picture is of whole numbers from 0 to 255, before it is scaled. */
    val inWholePixels: Boolean get() = resize == Resize.BILINEAR_8BIT && fill.all { it in 0.0..255.0 && it == Math.rint(it) }
}

/** A .tflite file and its signature's tensors by name. */
data class GraphSpec(val file: String, val signature: String, val inputs: List<TensorSpec>, val outputs: List<TensorSpec>)

/**
 * The graphs in the GPU delegate's own operators: other files with the same signatures, to be tried first on a GPU. A graph
 * without such an operator is the same file in both forms. [b] is null where there is one graph, [m] where there are no masks.
 *
 * @property pixels the name of graph A's input where that is the resized picture itself, uint8 [1, height, width, channels], in
 *   place of the normalised floats: a quarter of the bytes to bring to the GPU. Null where both forms take the same.
 */
data class NativeFiles(val a: String, val b: String?, val m: String? = null, val pixels: String? = null)

/** An op of the host program: `output = op(inputs, attributes)`; attributes are [Number], [Boolean], [String] or lists. */
data class HostOp(val op: String, val inputs: List<String>, val output: String, val attributes: Map<String, Any?>)

/** The query selection between the graphs, as straight-line code; each name is assigned once. */
data class HostProgram(
    val inputs: List<String>,
    val constants: List<TensorSpec>,
    val ops: List<HostOp>,
    val outputs: List<String>,
)

/**
 * The post-processing of [boxes] [1, Q, 4] (cxcywh, fractions) and [logits] [1, Q, C]: the [numSelect] best sigmoid scores
 * over queries x classes. [ignoredClasses] count in that selection but are not reported.
 */
data class PostprocessSpec(
    val numSelect: Int,
    val boxes: String,
    val logits: String,
    val ignoredClasses: List<Int>,
    val masks: MaskSpec? = null,
    val keypoints: KeypointsSpec? = null,
)

/**
 * The masks of graph M: it reads the embeddings that the graph before it gives, and [kept], int32 [K] indices of queries, and
 * gives [output] [1, h, w, K], logits that cover the input. A pixel of the picture is of the object if its logit is above 0
 * after a bilinear resize; see [org.detr2litert.core.decode.MaskDecoder].
 *
 * @property sigmoid probabilities less a half are resized in place of logits.
 * @property withinBox no pixel outside of a detection's box is of its mask.
 */
data class MaskSpec(val output: String, val kept: String, val sigmoid: Boolean = false, val withinBox: Boolean = false)

/**
 * The keypoints that the last graph gives as [output] [1, Q, K, 7], class after class in the order of [classes], which need not
 * be all classes; see [org.detr2litert.core.decode.KeypointDecoder]. A detector has masks or keypoints, not both.
 *
 * @property scoreWeight how much the keypoints' uncertainty lowers or raises an object's score; 0 for not at all.
 */
data class KeypointsSpec(val output: String, val scoreWeight: Double, val classes: List<ClassKeypoints>) {
    /** K. */
    val count: Int get() = classes.sumOf { it.names.size }
}

/**
 * The keypoints of the objects of one class; none for a class that is listed since its score is weighted like the others'.
 *
 * @property skeleton the pairs of keypoints that a drawing joins, as indices into [names].
 * @property sigmas COCO's constants, by which a distance is judged; one for each name.
 */
data class ClassKeypoints(
    val classIndex: Int,
    val names: List<String>,
    val skeleton: List<Pair<Int, Int>>,
    val sigmas: List<Double>,
)

/** A file's sha256 in lower-case hex and its length in bytes. */
data class FileRecord(val sha256: String, val bytes: Long)

/** The golden vectors: a picture with the recorded outputs of every stage. */
data class Golden(val image: String, val tensors: String, val detections: String, val threshold: Double)
