package org.detr2litert.core

import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonParser
import org.detr2litert.core.json.JsonWriter
import java.io.File

/** Manifests whose native form takes the resized picture's pixels: sound ones without, edited. */
object PixelManifests {
    private val native: String by lazy {
        val cases = Goldens.json(File(Goldens.root, "manifests.json")) as List<*>
        cases.map { JsonObject.root(it) }.first { it.text("name") == "native" }.text("text")
    }

    /** A sound manifest whose native graph A takes `pixels`, with [changes] of other values by their path. */
    fun text(vararg changes: Pair<String, Any?>): String = of(native, *changes)

    /** The manifest [text] with a native form that takes `pixels`, and [changes] of other values by their path. */
    fun of(text: String, vararg changes: Pair<String, Any?>): String {
        val all = listOf(
            "schema_version" to 6,
            "preprocess.resize" to "bilinear_8bit",
            "native.pixels" to "pixels",
            "native.a" to "graph_b.native.tflite", // a file that is listed, and not the portable graph A
            *changes,
        )
        val json = all.fold(JsonParser.parse(text)) { data, (path, value) -> changed(data, path.split('.'), value) }
        return JsonWriter.write(json)
    }

    private fun changed(data: Any?, path: List<String>, value: Any?): Any {
        val members = data as Map<*, *>
        val name = path.first()
        return members + (name to if (path.size == 1) value else changed(members[name], path.drop(1), value))
    }
}
