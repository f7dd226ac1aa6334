package org.detr2litert.core.pipeline

import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.MaskDecoder
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Tensor

/**
 * Computes the masks of the queries that detections come from, as `host_runtime.runner` does: graph M takes as many at a time as
 * it has room for, in ascending order, each query once however many detections it has.
 *
 * The embeddings stay in the buffers of the graph before, where these are shared; otherwise they are copied once a picture, and
 * only if anything is detected. [close] closes graph M.
 *
 * @param last the graph before, which gives the embeddings.
 * @param tensorOf the tensor that receives its output of that name.
 */
internal class MaskStage(
    manifest: Manifest,
    private val graph: GraphRunner,
    private val last: GraphRunner,
    tensorOf: (String) -> Tensor,
) : AutoCloseable {
    private val spec = requireNotNull(manifest.postprocess.masks)
    private val graphSpec = requireNotNull(manifest.graphM)
    private val kept = Tensor.of(graphSpec.inputs.first { it.name == spec.kept }) as IntTensor
    private val logits = Tensor.of(graphSpec.outputs.first { it.name == spec.output }) as FloatTensor
    private val embeddingNames = graphSpec.inputs.map { it.name }.filter { it != spec.kept }.toTypedArray()
    private val embeddings = Array(embeddingNames.size) { tensorOf(embeddingNames[it]) }
    private val room = kept.size
    private val decoder = MaskDecoder(logits.shape[1], logits.shape[2], room, manifest.preprocess, spec.sigmoid)
    private val wanted = BooleanArray((tensorOf(manifest.postprocess.logits) as FloatTensor).shape[1])
    private var isWritten = false

    /** Graph M's inputs by name: the embeddings are the objects that the graph before is read to. */
    val inputs: Map<String, Tensor> get() = embeddingNames.zip(embeddings).toMap() + (spec.kept to kept)

    /** Graph M's outputs by name. */
    val outputs: Map<String, Tensor> get() = mapOf(spec.output to logits)

    /** The embeddings written to graph M are no longer those of the graph before. */
    fun newPicture() {
        isWritten = false
    }

    /** Computes the masks of [detections], of which each gets its query's. */
    fun run(detections: Detections, times: StageTimes) {
        wanted.fill(false)
        for (place in 0 until detections.count) wanted[detections.query[place]] = true
        var query = 0
        while (true) {
            var count = 0
            while (query < wanted.size && count < room) {
                if (wanted[query]) kept.data[count++] = query
                query++
            }
            if (count == 0) return
            kept.data.fill(0, count, room)
            times.start()
            if (!isWritten) copyEmbeddings()
            write()
            times.mark(Stage.WRITE_M)
            compute(times)
            decoder.read(logits.data, count)
            for (index in 0 until count) decode(index, detections)
            times.mark(Stage.MASKS)
        }
    }

    /** Runs graph M once on [inputs], as they are; [writeBound] also writes those that share the graph before's buffers. */
    fun call(times: StageTimes, writeBound: Boolean) {
        times.start()
        for (index in embeddings.indices) {
            val name = embeddingNames[index]
            if (writeBound || name !in graph.boundInputs) graph.write(name, embeddings[index])
        }
        write()
        times.mark(Stage.WRITE_M)
        compute(times)
    }

    override fun close() = graph.close()

    private fun copyEmbeddings() {
        for (index in embeddings.indices) {
            val name = embeddingNames[index]
            if (name in graph.boundInputs) continue
            last.read(name, embeddings[index])
            graph.write(name, embeddings[index])
        }
        isWritten = true
    }

    private fun write() = graph.write(spec.kept, kept)

    private fun compute(times: StageTimes) {
        graph.run()
        times.mark(Stage.RUN_M)
        graph.read(spec.output, logits)
        times.mark(Stage.READ_M)
    }

    private fun decode(index: Int, detections: Detections) {
        val mask = decoder.decode(index, detections.width, detections.height)
        for (place in 0 until detections.count) {
            if (detections.query[place] != kept.data[index]) continue
            detections.masks[place] = if (spec.withinBox) {
                mask.within(detections.left(place), detections.top(place), detections.right(place), detections.bottom(place))
            } else {
                mask
            }
        }
    }
}
