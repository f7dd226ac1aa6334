package org.detr2litert.core.pipeline

import org.detr2litert.core.Workers
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Decoder
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.engine.graphs
import org.detr2litert.core.host.HostStep
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Preprocessor
import org.detr2litert.core.tensor.ByteTensor
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Tensor

/**
 * The detector: picture -> graph A -> host step -> graph B -> detections, or in one graph, picture -> graph A -> detections;
 * and with graph M the detections' masks; keypoints come with the boxes. Configured by the manifest alone.
 *
 * All tensors are allocated at construction and reused for every frame; only masks and keypoints are allocated for each. The
 * stages can be run separately ([runA], [runHost], [runB], [runM]), as in a parity run. Not thread-safe; [close] closes the
 * graphs and the workers.
 *
 * @param bundle an opened bundle.
 * @param graphA with [graphB] compiled for the bundle; closed by the pipeline.
 * @param graphB null where the bundle has one graph; then [runHost] and [runB] do nothing.
 * @property form the form of the graphs: with it, whether graph A takes normalised floats or the resized picture's pixels.
 * @param graphM null where the bundle has no masks; then [runM] does nothing.
 */
class DetectorPipeline(
    bundle: Bundle,
    private val graphA: GraphRunner,
    private val graphB: GraphRunner?,
    val form: FormInUse = FormInUse(GraphForm.PORTABLE),
    graphM: GraphRunner? = null,
) : AutoCloseable {
    private val manifest: Manifest = bundle.manifest.also {
        require((graphB == null) == (it.graphB == null)) { "graph B is compiled if and only if the bundle has one" }
        require((graphM == null) == (it.graphM == null)) { "graph M is compiled if and only if the bundle has one" }
    }
    private val workers = Workers.forThisMachine()
    private val preprocessor = Preprocessor(manifest.preprocess, workers)
    private val host = HostStep(manifest.hostStep, bundle.hostConstants(), manifest.graphA.outputs, workers)
    private val decoder = manifest.lastGraph.outputs.first { it.name == manifest.postprocess.logits }.shape
        .let { (_, queries, classes) -> Decoder(manifest.postprocess, queries, classes, manifest.preprocess) }

    private val imageSpec = requireNotNull(manifest.graphs(form.form)) { "the bundle has no ${form.form.label} form" }
        .a.inputs.single()
    private val image = Tensor.of(imageSpec)
    private val imageName = imageSpec.name

    // Arrays, because iterating a map allocates.
    private val namesA = manifest.graphA.outputs.map { it.name }.toTypedArray()
    private val outputsA = manifest.graphA.outputs.map { spec ->
        if (spec.name in host.inputNames) host.tensor(spec.name) else Tensor.of(spec)
    }.toTypedArray()
    private val inputsB: Array<Tensor> = manifest.graphB?.inputs.orEmpty().map { spec ->
        if (spec.name in host.outputNames) host.tensor(spec.name) else outputsA[namesA.indexOf(spec.name)]
    }.toTypedArray()
    private val inputNamesB = manifest.graphB?.inputs.orEmpty().map { it.name }.toTypedArray()
    private val namesB = manifest.graphB?.outputs.orEmpty().map { it.name }.toTypedArray()
    private val outputsB = manifest.graphB?.outputs.orEmpty().map { Tensor.of(it) }.toTypedArray()
    private val boxes = output(manifest.postprocess.boxes) as FloatTensor
    private val logits = output(manifest.postprocess.logits) as FloatTensor
    private val keypoints = manifest.postprocess.keypoints?.let { output(it.output) as FloatTensor }
    private val masks = graphM?.let { MaskStage(manifest, it, graphB ?: graphA, ::output) }

    /** Which of graph A's outputs are read to host memory. */
    private val readFromA = BooleanArray(namesA.size) { index ->
        val name = namesA[index]
        if (graphB == null) {
            isDecoded(name)
        } else {
            name in host.inputNames || (name in inputNamesB && name !in graphB.boundInputs)
        }
    }
    private val readFromB = BooleanArray(namesB.size) { isDecoded(namesB[it]) }

    /** The stages that a parity run times: between pre-processing and decoding, and graph M. */
    val stages: List<Stage> = (if (graphB == null) Stage.OF_ONE_GRAPH else Stage.OF_TWO_GRAPHS) +
        (if (graphM == null) emptyList() else Stage.OF_GRAPH_M)

    val times = StageTimes()

    /** The maximum number of detections in a picture. */
    val capacity: Int get() = decoder.capacity

    /** Graph A's input: a [FloatTensor] [1, channels, H, W], or a [ByteTensor] [1, H, W, channels] of pixels. */
    val input: Tensor get() = image

    /** The outputs of each stage by name, for a parity run. */
    val tensorsA: Map<String, Tensor> get() = namesA.zip(outputsA).toMap()
    val tensorsHost: Map<String, Tensor> get() = host.outputNames.associateWith { host.tensor(it) }
    val tensorsB: Map<String, Tensor> get() = namesB.zip(outputsB).toMap()
    val tensorsM: Map<String, Tensor> get() = masks?.outputs.orEmpty()

    /** The inputs of each stage: the same objects that the stage before it writes. */
    val inputsOfA: Map<String, Tensor> get() = mapOf(imageName to image)
    val inputsOfB: Map<String, Tensor> get() = inputNamesB.zip(inputsB).toMap()
    val inputsOfHost: Map<String, Tensor> get() = host.inputNames.associateWith { host.tensor(it) }
    val inputsOfM: Map<String, Tensor> get() = masks?.inputs.orEmpty()

    /** The name of graph M's input of indices; null without masks. */
    val keptName: String? get() = manifest.postprocess.masks?.kept

    /**
     * Detects objects in an upright picture.
     *
     * @param into receives the result, in the picture's pixels.
     * @param nmsIou with [nmsAcrossClasses] see [Decoder.decode].
     */
    fun detect(
        picture: Picture,
        threshold: Float,
        nmsIou: Float?,
        into: Detections,
        nmsAcrossClasses: Boolean = false,
    ) {
        times.start()
        preprocess(picture)
        times.mark(Stage.PREPROCESS)
        runA()
        runHost()
        runB()
        decode(picture.width, picture.height, threshold, nmsIou, into, nmsAcrossClasses)
    }

    private fun preprocess(picture: Picture) = when (image) {
        is FloatTensor -> preprocessor.run(picture, image.data)
        is ByteTensor -> preprocessor.run(picture, image.data)
        is IntTensor -> error("graph A takes an image, no integers")
    }

    /** The tensor that receives the last graph's output [name]. */
    private fun output(name: String): Tensor {
        val (names, tensors) = if (manifest.graphB == null) namesA to outputsA else namesB to outputsB
        return tensors[names.indexOf(name)]
    }

    private fun isDecoded(name: String) =
        manifest.postprocess.run { name == boxes || name == logits || name == keypoints?.output }

    /**
     * Decodes the last graph's latest outputs, for example once more with another [threshold]; with masks, runs graph M for the
     * detections that are kept.
     */
    fun decode(
        width: Int,
        height: Int,
        threshold: Float,
        nmsIou: Float?,
        into: Detections,
        nmsAcrossClasses: Boolean = false,
    ) {
        times.start()
        decoder.decode(
            boxes.data,
            logits.data,
            width,
            height,
            threshold,
            nmsIou,
            into,
            nmsAcrossClasses,
            keypoints?.data,
        )
        times.mark(Stage.DECODE)
        masks?.run(into, times)
    }

    /** Runs graph A on [input] and reads the outputs that are needed, or [all] of them. */
    fun runA(all: Boolean = false) {
        masks?.newPicture()
        times.start()
        graphA.write(imageName, image)
        times.mark(Stage.WRITE_A)
        graphA.run()
        times.mark(Stage.RUN_A)
        for (index in namesA.indices) if (all || readFromA[index]) graphA.read(namesA[index], outputsA[index])
        times.mark(Stage.READ_A)
    }

    /** Runs the host step on graph A's outputs. */
    fun runHost() {
        if (graphB == null) return
        times.start()
        host.run()
        times.mark(Stage.HOST)
    }

    /** Runs graph B and reads boxes and logits, or [all]; [writeBound] also writes inputs that share graph A's buffers. */
    fun runB(writeBound: Boolean = false, all: Boolean = false) {
        if (graphB == null) return
        masks?.newPicture()
        times.start()
        for (index in inputNamesB.indices) {
            if (writeBound || inputNamesB[index] !in graphB.boundInputs) graphB.write(inputNamesB[index], inputsB[index])
        }
        times.mark(Stage.WRITE_B)
        graphB.run()
        times.mark(Stage.RUN_B)
        for (index in namesB.indices) if (all || readFromB[index]) graphB.read(namesB[index], outputsB[index])
        times.mark(Stage.READ_B)
    }

    /** Runs graph M once on [inputsOfM]; [writeBound] also writes inputs that share the buffers of the graph before it. */
    fun runM(writeBound: Boolean = false) {
        masks?.call(times, writeBound)
    }

    override fun close() {
        masks?.close()
        graphB?.close()
        graphA.close()
        workers.close()
    }
}
