package org.detr2litert.core.manifest

import org.detr2litert.core.BundleException
import org.detr2litert.core.host.HostCheck
import org.detr2litert.core.host.HostLimits
import org.detr2litert.core.host.HostOps
import org.detr2litert.core.json.ForeignJson
import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonShapeException
import org.detr2litert.core.json.JsonSyntaxException
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.TensorSpec

/** Reads manifest.json as defined by `manifest.schema.json`, up to version 6, then checks its consistency. */
object ManifestReader {
    private val SHA256 = Regex("[0-9a-f]{64}")

    // The bounds of manifest.schema.json.
    private const val NAME = 512
    private const val WORD = 128
    private const val TEXT = 1024
    private const val CLASS_NAME = 256
    private const val MEMBERS = 128
    private const val TENSORS = 128
    private const val CONSTANTS = 512
    private const val CLASSES = 65_536
    private const val FILES = 256
    private const val FILE_BYTES = 1L shl 40
    private const val ATTRIBUTES = 8
    private const val SIDE = 16_384
    private const val SELECTED = 1_000_000
    private const val SETTING_NUMBERS = 64
    private val SETTING = -1e15..1e15
    private val FACTOR = 1e-6..1e6
    private val PIXEL = -1e12..1e12
    private const val ONE_GRAPH = 3 // the first version in which a bundle may have one graph
    private const val MASKS = 4 // the first version in which a bundle may have masks
    private const val MASKS_OF_BOXES = 5 // and masks of probabilities, or cut to boxes
    private const val KEYPOINTS = 5 // the first version in which a bundle may have keypoints
    private const val PIXELS = 6 // the first version in which a native form may take pixels

    /**
     * @param where the text's name in errors.
     * @throws BundleException if [text] is not JSON, has a newer schema version, violates the schema, or is inconsistent.
     */
    fun read(text: String, where: String = Manifest.NAME): Manifest {
        val manifest = try {
            parse(JsonObject.root(ForeignJson.parse(text)), where)
        } catch (error: JsonSyntaxException) {
            throw BundleException.manifest("$where is not JSON that a bundle may have (${error.message})", error)
        } catch (error: JsonShapeException) {
            throw BundleException.manifest("$where is not a bundle manifest: at ${error.message}", error)
        }
        ManifestProblems.first(manifest)?.let { throw BundleException.manifest("$where is inconsistent: $it") }
        manifest.graphB?.let { HostCheck.check(manifest.hostStep, manifest.graphA.outputs, it.inputs) }
        return manifest
    }

    private fun parse(json: JsonObject, where: String): Manifest {
        val version = if (json.has("schema_version")) json.whole("schema_version") else 0
        if (version > Manifest.SCHEMA_VERSION) {
            throw BundleException(
                BundleException.Reason.MANIFEST,
                "$where has schema version $version but this app reads up to ${Manifest.SCHEMA_VERSION}; " +
                    "update the app, or ${BundleException.REMAKE}",
            )
        }
        if (version < 1) json.fail("schema_version is not in 1..${Manifest.SCHEMA_VERSION}")
        json.allowOnly(
            setOf(
                "schema_version", "variant", "target", "weights", "versions", "preprocess", "graphs", "host_step",
                "postprocess", "classes", "files",
            ),
            setOf("golden", "protection", "settings", "native", "notes"),
        )
        val graphs = json.child("graphs").allowOnly(setOf("a"), setOf("b", "m"))
        if (!graphs.has("b") && version < ONE_GRAPH) graphs.fail("b is missing, which a bundle of version $version has")
        if (graphs.has("m") && version < MASKS) graphs.fail("m is for masks, which a bundle of version $version has not")
        return Manifest(
            variant = json.text("variant", 1, WORD),
            target = json.text("target", 1, WORD),
            weights = weights(json.child("weights")),
            versions = json.child("versions").limit(MEMBERS, WORD)
                .let { versions -> versions.names.associateWith { versions.text(it, maxLength = TEXT) } },
            preprocess = preprocess(json.child("preprocess")),
            graphA = graph(graphs.child("a")),
            graphB = if (graphs.has("b")) graph(graphs.child("b")) else null,
            hostStep = hostStep(json.child("host_step")),
            postprocess = postprocess(json.child("postprocess"), version),
            classes = classes(json),
            files = json.child("files").limit(FILES, NAME).children().mapValues { (_, record) -> file(record) },
            golden = if (json.has("golden")) golden(json.child("golden")) else null,
            settings = if (json.has("settings")) settings(json.child("settings").limit(MEMBERS, WORD)) else emptyMap(),
            native = if (json.has("native")) native(json.child("native"), version) else null,
            graphM = if (graphs.has("m")) graph(graphs.child("m")) else null,
        )
    }

    private fun weights(json: JsonObject): Weights {
        json.allowOnly(setOf("source", "sha256", "random"))
        return Weights(json.text("source", maxLength = TEXT), sha256(json), json.flag("random"))
    }

    private fun settings(json: JsonObject): Map<String, SettingRecord> =
        json.children().mapValues { (_, record) -> setting(record) }

    private fun setting(json: JsonObject): SettingRecord {
        json.allowOnly(setOf("value", "origin"), setOf("requested"))
        val value = when (json.raw("value")) {
            is String -> json.text("value", maxLength = TEXT)
            is Number -> json.number("value", SETTING)
            else -> json.numbers("value", SETTING, SETTING_NUMBERS).also { if (it.isEmpty()) json.fail("value is empty") }
        }
        return SettingRecord(value, json.text("origin", maxLength = TEXT), json.has("requested") && json.flag("requested"))
    }

    internal fun preprocess(json: JsonObject): PreprocessSpec {
        json.allowOnly(
            setOf("height", "width", "resize", "scale", "mean", "std", "channels", "layout"),
            setOf("fit", "fill"),
        )
        val scale = json.number("scale", FACTOR)
        val mean = json.numbers("mean", PIXEL)
        val std = json.numbers("std", FACTOR)
        val channels = json.oneOf("channels", listOf("RGB", "L", "RGBA"))
        if (channels == "RGBA") json.fail("channels is RGBA, but this app feeds pictures without opacity, RGB or L")
        val count = if (channels == "L") 1 else 3
        if (mean.size != count || std.size != count) json.fail("mean and std need a number for each channel, $count")
        val fit = if (!json.has("fit")) {
            Fit.STRETCH
        } else {
            when (json.oneOf("fit", listOf("stretch", "letterbox", "letterbox_top_left"))) {
                "letterbox" -> Fit.LETTERBOX
                "letterbox_top_left" -> Fit.LETTERBOX_TOP_LEFT
                else -> Fit.STRETCH
            }
        }
        val fill = if (json.has("fill")) json.numbers("fill", PIXEL) else emptyList()
        if (json.has("fill") && fill.isEmpty()) json.fail("fill is empty")
        json.oneOf("layout", listOf("NCHW"))
        val resize = when (json.oneOf("resize", listOf("bilinear_antialias", "bilinear", "bilinear_8bit"))) {
            "bilinear" -> Resize.BILINEAR
            "bilinear_8bit" -> Resize.BILINEAR_8BIT
            else -> Resize.BILINEAR_ANTIALIAS
        }
        return PreprocessSpec(
            height = json.whole("height", 1, SIDE),
            width = json.whole("width", 1, SIDE),
            resize = resize,
            scale = scale,
            mean = mean,
            std = std,
            fit = fit,
            fill = fill,
        )
    }

    private fun graph(json: JsonObject): GraphSpec {
        json.allowOnly(setOf("file", "signature", "inputs", "outputs"))
        val inputs = json.objects("inputs", TENSORS).map(::tensor)
        val outputs = json.objects("outputs", TENSORS).map(::tensor)
        if (inputs.isEmpty() || outputs.isEmpty()) json.fail("a graph without inputs or outputs")
        return GraphSpec(json.text("file", 1, NAME), json.text("signature", 1, NAME), inputs, outputs)
    }

    private fun native(json: JsonObject, version: Int): NativeFiles {
        json.allowOnly(setOf("a"), setOf("b", "m", "pixels"))
        if (json.has("pixels") && version < PIXELS) {
            json.fail("the native form takes pixels, which that of a bundle of schema version $version does not")
        }
        fun other(name: String) = if (json.has(name)) json.text(name, 1, NAME) else null
        return NativeFiles(json.text("a", 1, NAME), other("b"), other("m"), other("pixels"))
    }

    internal fun tensor(json: JsonObject): TensorSpec {
        json.allowOnly(setOf("name", "shape", "dtype"))
        val shape = json.wholes("shape", 1, HostLimits.MAX_ELEMENTS)
        if (shape.size > HostLimits.MAX_RANK) json.fail("rank ${shape.size}, more than ${HostLimits.MAX_RANK}")
        if (TensorSpec.elements(shape) > HostLimits.MAX_ELEMENTS) {
            json.fail("$shape has more than ${HostLimits.MAX_ELEMENTS} elements")
        }
        val dtype = json.oneOf("dtype", HostLimits.dtypes.map { it.label })
        return TensorSpec(json.text("name", 1, NAME), shape, DType.of(dtype))
    }

    internal fun hostStep(json: JsonObject): HostProgram {
        json.allowOnly(setOf("inputs", "ops", "outputs"), setOf("constants"))
        return HostProgram(
            inputs = json.texts("inputs", 1, NAME, TENSORS),
            constants = if (json.has("constants")) json.objects("constants", CONSTANTS).map(::tensor) else emptyList(),
            ops = json.objects("ops", HostLimits.MAX_OPS).map(::hostOp),
            outputs = json.texts("outputs", 1, NAME, TENSORS),
        )
    }

    private fun hostOp(json: JsonObject): HostOp {
        json.allowOnly(setOf("op", "inputs", "output"), setOf("attributes"))
        val attributes = if (json.has("attributes")) json.child("attributes").limit(ATTRIBUTES, WORD) else null
        return HostOp(
            op = json.oneOf("op", HostOps.names),
            inputs = json.texts("inputs", 1, NAME, TENSORS),
            output = json.text("output", 1, NAME),
            attributes = attributes?.let { found -> found.names.associateWith { found.raw(it) } }.orEmpty(),
        )
    }

    private fun postprocess(json: JsonObject, version: Int): PostprocessSpec {
        json.allowOnly(
            setOf("kind", "num_select", "boxes", "logits", "box_format"),
            setOf("ignored_classes", "masks", "keypoints"),
        )
        if (json.has("keypoints") && version < KEYPOINTS) json.fail("keypoints, which a bundle of version $version has not")
        json.oneOf("kind", listOf("topk_sigmoid"))
        json.oneOf("box_format", listOf("cxcywh"))
        return PostprocessSpec(
            numSelect = json.whole("num_select", 1, SELECTED),
            boxes = json.text("boxes", 1, NAME),
            logits = json.text("logits", 1, NAME),
            ignoredClasses = if (json.has("ignored_classes")) {
                json.wholes("ignored_classes", 0, CLASSES - 1, CLASSES)
            } else {
                emptyList()
            },
            masks = if (json.has("masks")) masks(json.child("masks"), version) else null,
            keypoints = if (json.has("keypoints")) KeypointsReader.read(json.child("keypoints")) else null,
        )
    }

    private fun masks(json: JsonObject, version: Int): MaskSpec {
        json.allowOnly(setOf("output", "kept", "kind"), setOf("activation", "within_box"))
        json.oneOf("kind", listOf("bilinear_above_zero"))
        val sigmoid = json.has("activation") && json.oneOf("activation", listOf("none", "sigmoid")) == "sigmoid"
        val withinBox = json.has("within_box") && json.flag("within_box")
        if ((sigmoid || withinBox) && version < MASKS_OF_BOXES) {
            json.fail("activation or within_box, which a bundle of version $version has not")
        }
        return MaskSpec(json.text("output", 1, NAME), json.text("kept", 1, NAME), sigmoid, withinBox)
    }

    private fun classes(json: JsonObject): List<String?> {
        val names = json.items("classes", CLASSES) { path, value ->
            if (value != null && value !is String) throw JsonShapeException("$path: neither a string nor null")
            value?.also { JsonObject.text(path, it, 0, CLASS_NAME) }
        }
        if (names.isEmpty()) json.fail("classes is empty")
        return names
    }

    private fun file(json: JsonObject): FileRecord {
        json.allowOnly(setOf("sha256", "bytes"))
        return FileRecord(sha256(json), json.long("bytes", FILE_BYTES))
    }

    private fun golden(json: JsonObject): Golden {
        json.allowOnly(setOf("image", "tensors", "detections", "threshold"))
        val threshold = json.number("threshold")
        if (threshold !in 0.0..1.0) json.fail("threshold is not between 0 and 1")
        return Golden(json.text("image", 1, NAME), json.text("tensors", 1, NAME), json.text("detections", 1, NAME), threshold)
    }

    private fun sha256(json: JsonObject): String = json.text("sha256").also {
        if (!SHA256.matches(it)) json.fail("sha256 is not 64 lower-case hex digits")
    }
}
