package org.detr2litert.core.parity

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.pipeline.Stage
import org.detr2litert.core.tensor.Tensor
import java.io.File

/**
 * Runs the stages on given inputs and writes every output, for comparison on another machine. INSTRUMENTATION.md describes
 * the folders and the fields of result.json.
 *
 * The chain runs from `in/a` through all stages. If `in/host` or `in/b` exist, the host step and graph B also run on those
 * tensors, so that each stage can be judged separately. A bundle of one graph has the stages of graph A alone. In a bundle with
 * masks, graph M ends the chain, with the queries that `in/m` names; if the embeddings are there too, it also runs on those.
 *
 * @param folder the run's folder with `in/`; `out/` is written.
 */
class ParityRun(private val pipeline: DetectorPipeline, private val folder: File) {
    private val times = LinkedHashMap<Stage, ArrayList<Float>>()
    private val files = ArrayList<Map<String, Any>>()

    /** Milliseconds of every timed run, by stage; see [Stage.label]. */
    val milliseconds: Map<String, List<Float>> get() = times.entries.associate { (stage, values) -> stage.label to values }

    /** The written tensors: stage, name, dtype, shape, file (relative to the run's folder) and sha256. */
    val tensors: List<Map<String, Any>> get() = files

    /**
     * @param warmUp runs before the timed ones.
     * @param runs timed runs, at least one; the last one's outputs are written.
     * @throws TensorFileException if an input file is missing or has the wrong length.
     */
    fun run(warmUp: Int, runs: Int) {
        require(warmUp >= 0 && runs >= 1) { "$warmUp and $runs runs" }
        fill("a", pipeline.inputsOfA)
        pipeline.keptName?.let { fill("m", mapOf(it to pipeline.inputsOfM.getValue(it))) }
        repeat(warmUp) { chain() }
        repeat(runs) {
            chain()
            for (stage in pipeline.stages) times.getOrPut(stage) { ArrayList(runs) }.add(pipeline.times.latest(stage))
        }
        write("a", pipeline.tensorsA)
        write("host", pipeline.tensorsHost)
        write("b", pipeline.tensorsB)
        write("m", pipeline.tensorsM)
        if (File(folder, "in/host").isDirectory) {
            fill("host", pipeline.inputsOfHost)
            pipeline.runHost()
            write("host_given", pipeline.tensorsHost)
        }
        if (File(folder, "in/b").isDirectory) {
            fill("b", pipeline.inputsOfB)
            pipeline.runB(writeBound = true, all = true)
            write("b_given", pipeline.tensorsB)
        }
        if (pipeline.keptName != null && File(folder, "in/m").list().orEmpty().size > 1) {
            fill("m", pipeline.inputsOfM)
            pipeline.runM(writeBound = true)
            write("m_given", pipeline.tensorsM)
        }
    }

    private fun chain() {
        pipeline.runA(all = true)
        pipeline.runHost()
        pipeline.runB(all = true)
        pipeline.runM()
    }

    private fun fill(stage: String, tensors: Map<String, Tensor>) {
        for ((name, tensor) in tensors) TensorFiles.read(File(folder, "in/$stage"), name, tensor)
    }

    private fun write(stage: String, tensors: Map<String, Tensor>) {
        for ((name, tensor) in tensors) {
            val file = TensorFiles.write(File(folder, "out/$stage"), name, tensor)
            files += mapOf(
                "stage" to stage,
                "name" to name,
                "dtype" to tensor.dtype.label,
                "shape" to tensor.shape,
                "file" to "out/$stage/${file.name}",
                "sha256" to Bundle.sha256(file),
            )
        }
    }

    companion object {
        /** The record of the graphs that run: their form, their files, and why the native form, if it was tried, does not run. */
        fun graphs(manifest: Manifest, form: FormInUse): Map<String, String?> {
            val native = manifest.native.takeIf { form.form == GraphForm.NATIVE }
            return mapOf(
                "form" to form.form.label,
                "a" to (native?.a ?: manifest.graphA.file),
                "b" to (native?.b ?: manifest.graphB?.file),
                "m" to (native?.m ?: manifest.graphM?.file),
                "native_refused" to form.refusal,
            )
        }
    }
}
