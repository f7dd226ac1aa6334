package org.detr2litert.sample.ui

import android.content.SharedPreferences
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor

/** What the user chose, kept from start to start. */
class Settings(private val preferences: SharedPreferences) {
    /** The chosen bundle's folder name; null before the first choice. */
    var bundle: String?
        get() = preferences.getString("bundle", null)
        set(value) = preferences.edit().putString("bundle", value).apply()

    /** 0..1. */
    var threshold: Float
        get() = preferences.getFloat("threshold", 0.5f)
        set(value) = preferences.edit().putFloat("threshold", value).apply()

    var nms: Boolean
        get() = preferences.getBoolean("nms", false)
        set(value) = preferences.edit().putBoolean("nms", value).apply()

    var engine: EngineOptions
        get() = EngineOptions(
            processor = named(Processor.entries, "processor", Processor.GPU),
            precision = named(Precision.entries, "precision", Precision.DEFAULT),
            cache = preferences.getBoolean("cache", true),
            shareBuffers = preferences.getBoolean("share_buffers", false),
        )
        set(value) = preferences.edit()
            .putString("processor", value.processor.name)
            .putString("precision", value.precision.name)
            .putBoolean("cache", value.cache)
            .putBoolean("share_buffers", value.shareBuffers)
            .apply()

    private fun <T : Enum<T>> named(entries: List<T>, key: String, otherwise: T): T {
        val name = preferences.getString(key, null)
        return entries.firstOrNull { it.name == name } ?: otherwise
    }

    companion object {
        /** The usual IoU for those who want NMS; the original has none. */
        const val NMS_IOU = 0.5f
    }
}
