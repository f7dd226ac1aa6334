package org.detr2litert.core.manifest

import org.detr2litert.core.BundleException
import org.detr2litert.core.host.HostLimits
import org.detr2litert.core.host.HostOps
import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonParser
import org.detr2litert.core.json.JsonShapeException
import org.detr2litert.core.json.JsonSyntaxException
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.TensorSpec

/** Reads manifest.json as defined by `manifest.schema.json`, up to version 3, then checks its consistency. */
object ManifestReader {
    private val SHA256 = Regex("[0-9a-f]{64}")
    private const val MAX_NUMBERS = 64 // of a setting
    private const val ONE_GRAPH = 3 // the first version in which a bundle may have one graph

    /**
     * @param where the text's name in errors.
     * @throws BundleException if [text] is not JSON, has a newer schema version, violates the schema, or is inconsistent.
     */
    fun read(text: String, where: String = Manifest.NAME): Manifest {
        val manifest = try {
            parse(JsonObject.root(JsonParser.parse(text)), where)
        } catch (error: JsonSyntaxException) {
            throw BundleException.manifest("$where is not JSON (${error.message})", error)
        } catch (error: JsonShapeException) {
            throw BundleException.manifest("$where is not a bundle manifest: at ${error.message}", error)
        }
        ManifestProblems.first(manifest)?.let { throw BundleException.manifest("$where is inconsistent: $it") }
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
            setOf("golden", "protection", "settings", "native"),
        )
        val graphs = json.child("graphs").allowOnly(setOf("a"), setOf("b"))
        if (!graphs.has("b") && version < ONE_GRAPH) graphs.fail("b is missing, which a bundle of version $version has")
        return Manifest(
            variant = json.text("variant", minLength = 1),
            target = json.text("target", minLength = 1),
            weights = weights(json.child("weights")),
            versions = json.child("versions").let { versions -> versions.names.associateWith { versions.text(it) } },
            preprocess = preprocess(json.child("preprocess")),
            graphA = graph(graphs.child("a")),
            graphB = if (graphs.has("b")) graph(graphs.child("b")) else null,
            hostStep = hostStep(json.child("host_step")),
            postprocess = postprocess(json.child("postprocess")),
            classes = classes(json),
            files = json.child("files").children().mapValues { (_, record) -> file(record) },
            golden = if (json.has("golden")) golden(json.child("golden")) else null,
            settings = if (json.has("settings")) settings(json.child("settings")) else emptyMap(),
            native = if (json.has("native")) native(json.child("native")) else null,
        )
    }

    private fun weights(json: JsonObject): Weights {
        json.allowOnly(setOf("source", "sha256", "random"))
        return Weights(json.text("source"), sha256(json), json.flag("random"))
    }

    private fun settings(json: JsonObject): Map<String, SettingRecord> =
        json.children().mapValues { (_, record) -> setting(record) }

    private fun setting(json: JsonObject): SettingRecord {
        json.allowOnly(setOf("value", "origin"), setOf("requested"))
        val value = when (val raw = json.raw("value")) {
            is String -> raw
            is Number -> raw.toDouble()
            else -> json.numbers("value").also { if (it.size !in 1..MAX_NUMBERS) json.fail("value has ${it.size} numbers") }
        }
        return SettingRecord(value, json.text("origin"), json.has("requested") && json.flag("requested"))
    }

    internal fun preprocess(json: JsonObject): PreprocessSpec {
        json.allowOnly(
            setOf("height", "width", "resize", "scale", "mean", "std", "channels", "layout"),
            setOf("fit", "fill"),
        )
        val scale = json.number("scale")
        if (scale <= 0) json.fail("scale is not above 0")
        val mean = json.numbers("mean")
        val std = json.numbers("std")
        val channels = json.oneOf("channels", listOf("RGB", "L", "RGBA"))
        if (channels == "RGBA") json.fail("channels is RGBA, but this app feeds pictures without opacity, RGB or L")
        val count = if (channels == "L") 1 else 3
        if (mean.size != count || std.size != count) json.fail("mean and std need a number for each channel, $count")
        if (std.any { it <= 0 }) json.fail("std is not above 0")
        val fit = if (!json.has("fit")) {
            Fit.STRETCH
        } else {
            when (json.oneOf("fit", listOf("stretch", "letterbox", "letterbox_top_left"))) {
                "letterbox" -> Fit.LETTERBOX
                "letterbox_top_left" -> Fit.LETTERBOX_TOP_LEFT
                else -> Fit.STRETCH
            }
        }
        val fill = if (json.has("fill")) json.numbers("fill") else emptyList()
        if (json.has("fill") && fill.isEmpty()) json.fail("fill is empty")
        json.oneOf("layout", listOf("NCHW"))
        val resize = when (json.oneOf("resize", listOf("bilinear_antialias", "bilinear", "bilinear_8bit"))) {
            "bilinear" -> Resize.BILINEAR
            "bilinear_8bit" -> Resize.BILINEAR_8BIT
            else -> Resize.BILINEAR_ANTIALIAS
        }
        return PreprocessSpec(
            height = json.whole("height", least = 1),
            width = json.whole("width", least = 1),
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
        val inputs = json.objects("inputs").map(::tensor)
        val outputs = json.objects("outputs").map(::tensor)
        if (inputs.isEmpty() || outputs.isEmpty()) json.fail("a graph without inputs or outputs")
        return GraphSpec(json.text("file", minLength = 1), json.text("signature", minLength = 1), inputs, outputs)
    }

    private fun native(json: JsonObject): NativeFiles {
        json.allowOnly(setOf("a"), setOf("b"))
        return NativeFiles(json.text("a", minLength = 1), if (json.has("b")) json.text("b", minLength = 1) else null)
    }

    internal fun tensor(json: JsonObject): TensorSpec {
        json.allowOnly(setOf("name", "shape", "dtype"))
        val shape = json.wholes("shape", least = 1)
        if (shape.size > HostLimits.MAX_RANK) json.fail("rank ${shape.size}, more than ${HostLimits.MAX_RANK}")
        if (shape.fold(1L) { product, extent -> minOf(product * extent, Int.MAX_VALUE + 1L) } > Int.MAX_VALUE) {
            json.fail("more elements than fit an array")
        }
        val dtype = json.oneOf("dtype", HostLimits.dtypes.map { it.label })
        return TensorSpec(json.text("name", minLength = 1), shape, DType.of(dtype))
    }

    internal fun hostStep(json: JsonObject): HostProgram {
        json.allowOnly(setOf("inputs", "ops", "outputs"), setOf("constants"))
        return HostProgram(
            inputs = json.texts("inputs", minLength = 1),
            constants = if (json.has("constants")) json.objects("constants").map(::tensor) else emptyList(),
            ops = json.objects("ops").map(::hostOp),
            outputs = json.texts("outputs", minLength = 1),
        )
    }

    private fun hostOp(json: JsonObject): HostOp {
        json.allowOnly(setOf("op", "inputs", "output"), setOf("attributes"))
        val attributes = if (json.has("attributes")) json.child("attributes") else null
        return HostOp(
            op = json.oneOf("op", HostOps.names),
            inputs = json.texts("inputs", minLength = 1),
            output = json.text("output", minLength = 1),
            attributes = attributes?.let { found -> found.names.associateWith { found.raw(it) } }.orEmpty(),
        )
    }

    private fun postprocess(json: JsonObject): PostprocessSpec {
        json.allowOnly(setOf("kind", "num_select", "boxes", "logits", "box_format"), setOf("ignored_classes"))
        json.oneOf("kind", listOf("topk_sigmoid"))
        json.oneOf("box_format", listOf("cxcywh"))
        return PostprocessSpec(
            numSelect = json.whole("num_select", least = 1),
            boxes = json.text("boxes", minLength = 1),
            logits = json.text("logits", minLength = 1),
            ignoredClasses = if (json.has("ignored_classes")) json.wholes("ignored_classes", least = 0) else emptyList(),
        )
    }

    private fun classes(json: JsonObject): List<String?> {
        val names = json.items("classes") { path, value ->
            if (value != null && value !is String) throw JsonShapeException("$path: neither a string nor null")
            value
        }
        if (names.isEmpty()) json.fail("classes is empty")
        return names
    }

    private fun file(json: JsonObject): FileRecord {
        json.allowOnly(setOf("sha256", "bytes"))
        return FileRecord(sha256(json), json.long("bytes"))
    }

    private fun golden(json: JsonObject): Golden {
        json.allowOnly(setOf("image", "tensors", "detections", "threshold"))
        val threshold = json.number("threshold")
        if (threshold !in 0.0..1.0) json.fail("threshold is not between 0 and 1")
        return Golden(json.text("image", 1), json.text("tensors", 1), json.text("detections", 1), threshold)
    }

    private fun sha256(json: JsonObject): String = json.text("sha256").also {
        if (!SHA256.matches(it)) json.fail("sha256 is not 64 lower-case hex digits")
    }
}
