package org.detr2litert.sample.parity

import android.content.Context
import android.content.pm.ApplicationInfo
import android.os.Build
import android.os.PowerManager
import android.os.Process
import org.detr2litert.detector.litert.LiteRtSession
import org.detr2litert.sample.BuildConfig

/** The phone's and the app's properties for result.json; null where this Android version has none. */
internal class DeviceFacts(private val context: Context) {
    /** Thermal status 0 (none) to 6 (shutdown), from Android 10. */
    fun thermalStatus(): Int? {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null
        return (context.getSystemService(Context.POWER_SERVICE) as PowerManager).currentThermalStatus
    }

    fun device(): Map<String, Any?> = mapOf(
        "manufacturer" to Build.MANUFACTURER,
        "model" to Build.MODEL,
        "device" to Build.DEVICE,
        "hardware" to Build.HARDWARE,
        "soc_manufacturer" to soc { Build.SOC_MANUFACTURER },
        "soc_model" to soc { Build.SOC_MODEL },
        "abis" to Build.SUPPORTED_ABIS.toList(),
        "cores" to Runtime.getRuntime().availableProcessors(),
        "fingerprint" to Build.FINGERPRINT,
    )

    fun android(): Map<String, Any?> = mapOf(
        "release" to Build.VERSION.RELEASE,
        "sdk" to Build.VERSION.SDK_INT,
        "security_patch" to Build.VERSION.SECURITY_PATCH,
    )

    fun app(): Map<String, Any?> = mapOf(
        "package" to context.packageName,
        "version" to BuildConfig.VERSION_NAME,
        "litert" to LiteRtSession.RUNTIME_VERSION,
        "debuggable" to (context.applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0),
        "pid" to Process.myPid(),
    )

    private fun soc(read: () -> String): String? = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) read() else null
}
