package org.detr2litert.sample.parity

import android.app.Activity
import android.app.Instrumentation
import android.content.Context
import android.os.Bundle
import org.detr2litert.core.BundleException
import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.json.JsonWriter
import org.detr2litert.core.parity.ParityRun
import org.detr2litert.core.parity.TensorFileException
import org.detr2litert.detector.litert.LiteRtSession
import java.io.File
import org.detr2litert.core.bundle.Bundle as DetectorBundle

/**
 * Runs a bundle on given tensors and records all outputs, started over adb by `am instrument`. INSTRUMENTATION.md describes the
 * protocol. Only in debuggable builds: adb accesses the app's private files through `run-as`.
 */
class ParityInstrumentation : Instrumentation() {
    private var given = Bundle()
    private val report = LinkedHashMap<String, Any?>()
    private var stage = "arguments"

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        given = arguments ?: Bundle()
        start()
    }

    /** Called on the instrumentation thread. */
    override fun onStart() {
        super.onStart()
        report["protocol"] = PROTOCOL
        val failure = try {
            run(targetContext)
            null
        } catch (error: ArgumentException) {
            error
        } catch (error: BundleException) {
            error
        } catch (error: EngineException) {
            error
        } catch (error: TensorFileException) {
            error
        } catch (error: GraphOutputException) {
            error
        }
        finish(Activity.RESULT_OK, summary(failure))
    }

    private fun run(context: Context) {
        val arguments = ParityArguments.parse(given, context.filesDir)
        val result = File(arguments.run, RESULT)
        if (result.exists()) throw ArgumentException("the run folder already has a $RESULT; use a new folder for each run")
        try {
            measure(context, arguments)
            report["status"] = "ok"
            report["error"] = null
        } catch (error: Exception) {
            report["status"] = "failed"
            report["error"] = mapOf("stage" to stage, "kind" to kind(error), "message" to error.toString())
            throw error
        } finally {
            // Renamed into place, so that an existing result is complete.
            val draft = File(arguments.run, "$RESULT.part")
            draft.writeText(JsonWriter.write(report))
            draft.renameTo(result)
        }
    }

    private fun measure(context: Context, arguments: ParityArguments) {
        val facts = DeviceFacts(context)
        report["request"] = arguments.toJson()
        report["device"] = facts.device()
        report["android"] = facts.android()
        report["app"] = facts.app()
        enter("bundle")
        val bundle = DetectorBundle.open(arguments.bundle)
        report["bundle"] = mapOf(
            "variant" to bundle.manifest.variant,
            "target" to bundle.manifest.target,
            "manifest_sha256" to bundle.manifestSha256,
        )
        enter("compile")
        LiteRtSession(context).use { session ->
            val start = System.nanoTime()
            session.open(bundle, arguments.options).use { pipeline ->
                val openMillis = (System.nanoTime() - start) / 1e6f
                report["graphs"] = ParityRun.graphs(bundle.manifest, pipeline.form)
                enter("run")
                val thermalBefore = facts.thermalStatus()
                val run = ParityRun(pipeline, arguments.run)
                run.run(arguments.warmUp, arguments.runs)
                report["thermal"] = mapOf("before" to thermalBefore, "after" to facts.thermalStatus())
                report["milliseconds"] = mapOf("open" to openMillis) + run.milliseconds
                report["tensors"] = run.tensors
            }
        }
        enter("done")
    }

    /** Enters a stage, also reported to `am instrument -r` to locate a hang or a crash. */
    private fun enter(next: String) {
        stage = next
        sendStatus(STATUS_STAGE, Bundle().apply { putString("stage", next) })
    }

    private fun summary(failure: Exception?) = Bundle().apply {
        putString("status", if (failure == null) "ok" else "failed")
        putString("stage", stage)
        if (failure != null) {
            putString("kind", kind(failure))
            putString("message", failure.message?.replace('\n', ' '))
        }
    }

    private fun kind(error: Exception): String = when (error) {
        is ArgumentException -> "argument"
        is BundleException -> "bundle_${error.reason.name.lowercase()}"
        is EngineException -> "engine_${error.kind.name.lowercase()}"
        is TensorFileException -> "input"
        is GraphOutputException -> "output"
        else -> "unexpected"
    }

    private companion object {
        const val PROTOCOL = 1
        const val RESULT = "result.json"

        /** Any positive code; `am` prints it as INSTRUMENTATION_STATUS_CODE. */
        const val STATUS_STAGE = 1
    }
}
