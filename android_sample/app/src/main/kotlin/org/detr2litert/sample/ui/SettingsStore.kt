package org.detr2litert.sample.ui

import android.content.SharedPreferences
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.screen.Settings
import org.detr2litert.core.screen.Suppression

/** Saves and loads the [Settings]. */
class SettingsStore(private val preferences: SharedPreferences) {
    /** The saved settings, with defaults for missing values. */
    fun read() = Settings(
        bundle = preferences.getString("bundle", null),
        engine = EngineOptions(
            processor = named(Processor.entries, "processor", Processor.GPU),
            precision = named(Precision.entries, "precision", Precision.DEFAULT),
            cache = preferences.getBoolean("cache", true),
            shareBuffers = preferences.getBoolean("share_buffers", false),
        ),
        nms = named(Suppression.entries, "suppression", Suppression.OFF),
        threshold = preferences.getFloat("threshold", 0.5f),
    )

    /** Writes [settings] in the background. */
    fun save(settings: Settings) = preferences.edit()
        .putString("bundle", settings.bundle)
        .putString("processor", settings.engine.processor.name)
        .putString("precision", settings.engine.precision.name)
        .putBoolean("cache", settings.engine.cache)
        .putBoolean("share_buffers", settings.engine.shareBuffers)
        .putString("suppression", settings.nms.name)
        .putFloat("threshold", settings.threshold)
        .apply()

    private fun <T : Enum<T>> named(entries: List<T>, key: String, otherwise: T): T {
        val name = preferences.getString(key, null)
        return entries.firstOrNull { it.name == name } ?: otherwise
    }
}
