package org.detr2litert.core.manifest

import org.detr2litert.core.host.HostLimits
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.TensorSpec

/** Consistency checks beyond the JSON Schema: names and shapes across stages. Mirrors `host_runtime.manifest`. */
internal object ManifestProblems {
    /** The first inconsistency, in the order of the data flow; null if there is none. */
    fun first(manifest: Manifest): String? =
        size(manifest) ?: names(manifest) ?: oneGraph(manifest) ?: files(manifest) ?: image(manifest) ?: pixels(manifest)
            ?: hostStep(manifest) ?: graphB(manifest) ?: postprocess(manifest) ?: masks(manifest) ?: keypoints(manifest)

    /** The tensors of the graphs and the constants together may have no more elements than one tensor may. */
    private fun size(manifest: Manifest): String? {
        val graphs = listOfNotNull(manifest.graphA, manifest.graphB, manifest.graphM)
        val elements = (graphs.flatMap { it.inputs + it.outputs } + manifest.hostStep.constants)
            .sumOf { TensorSpec.elements(it.shape) }
        val most = HostLimits.MAX_ELEMENTS
        return if (elements > most) "its tensors have $elements elements in all, more than $most" else null
    }

    private fun names(manifest: Manifest): String? {
        val lists = listOf(
            "a.inputs" to manifest.graphA.inputs,
            "a.outputs" to manifest.graphA.outputs,
            "b.inputs" to manifest.graphB?.inputs.orEmpty(),
            "b.outputs" to manifest.graphB?.outputs.orEmpty(),
            "m.inputs" to manifest.graphM?.inputs.orEmpty(),
            "m.outputs" to manifest.graphM?.outputs.orEmpty(),
        )
        return lists.firstOrNull { (_, specs) -> specs.distinctBy { it.name }.size != specs.size }
            ?.let { (label, specs) -> "graphs.$label names a tensor twice (${specs.joinToString { it.name }})" }
    }

    private fun oneGraph(manifest: Manifest): String? {
        val one = manifest.graphB == null
        val host = manifest.hostStep
        if (one && listOf(host.inputs, host.constants, host.ops, host.outputs).any { it.isNotEmpty() }) {
            return "there is a host step after graph a and no graph b to read it"
        }
        val native = manifest.native ?: return null
        val nativeOne = native.b == null
        return if (nativeOne == one) {
            null
        } else {
            "the native form has ${if (nativeOne) "one graph" else "two graphs"} and the portable one not"
        }
    }

    private fun files(manifest: Manifest): String? {
        val needed = buildList {
            add(manifest.graphA.file)
            manifest.graphB?.let { add(it.file) }
            manifest.graphM?.let { add(it.file) }
            manifest.native?.let { addAll(listOfNotNull(it.a, it.b, it.m)) }
            if (manifest.hostStep.constants.isNotEmpty()) add(Manifest.HOST_PARAMS)
            manifest.golden?.let { addAll(listOf(it.image, it.tensors, it.detections)) }
        }
        return needed.firstOrNull { it !in manifest.files }?.let { "$it is used but not listed under files" }
    }

    private fun image(manifest: Manifest): String? {
        val pre = manifest.preprocess
        val padding = if (pre.fit == Fit.STRETCH) 0 else pre.channels
        if (pre.fill.size != padding) return "preprocess.fill has ${pre.fill.size} numbers, not $padding"
        val shape = listOf(1, pre.channels, pre.height, pre.width)
        val fits = manifest.graphA.inputs.singleOrNull()?.shape == shape
        return if (fits) null else "graph a must have one input of shape $shape, as stated in preprocess"
    }

    private fun pixels(manifest: Manifest): String? {
        val name = manifest.native?.pixels ?: return null
        if (!manifest.preprocess.inWholePixels) {
            return "the native form takes pixels, and preprocess gives none of whole numbers"
        }
        if (manifest.native.a == manifest.graphA.file) {
            return "the native form takes pixels, and its graph a is the portable one, which takes the image"
        }
        val taken = manifest.graphA.run { inputs + outputs }.any { it.name == name }
        return if (taken) "native.pixels names another tensor of graph a: '$name'" else null
    }

    private fun hostStep(manifest: Manifest): String? {
        val host = manifest.hostStep
        val fromA = manifest.graphA.outputs.mapTo(HashSet()) { it.name }
        host.inputs.firstOrNull { it !in fromA }?.let { return "the host step reads '$it', which is not an output of graph a" }
        val known = host.inputs.toHashSet()
        for (name in host.constants.map { it.name } + host.ops.map { it.output }) {
            if (!known.add(name)) return "the host step assigns '$name' twice"
        }
        return host.outputs.firstOrNull { it !in known }?.let { "the host step's output '$it' is never computed" }
    }

    private fun graphB(manifest: Manifest): String? {
        val fromA = manifest.graphA.outputs.associateBy { it.name }
        for (spec in manifest.graphB?.inputs.orEmpty().filter { it.name !in manifest.hostStep.outputs }) {
            val source = fromA[spec.name]
                ?: return "graph b reads '${spec.name}', which is not an output of the host step or graph a"
            if (source.shape != spec.shape) {
                return "'${spec.name}' is ${source.shape} in graph a but ${spec.shape} in graph b"
            }
        }
        return null
    }

    private fun postprocess(manifest: Manifest): String? {
        val post = manifest.postprocess
        val last = if (manifest.graphB == null) "a" else "b"
        val given = manifest.lastGraph.outputs.associate { it.name to it.shape }
        val boxes = given[post.boxes] ?: return "postprocess reads '${post.boxes}', which is not an output of graph $last"
        val logits = given[post.logits] ?: return "postprocess reads '${post.logits}', which is not an output of graph $last"
        val fit = boxes.size == 3 && logits.size == 3 && boxes[0] == 1 && boxes[2] == 4 && boxes.take(2) == logits.take(2)
        if (!fit) return "postprocess needs boxes [1, Q, 4] and logits [1, Q, C], not $boxes and $logits"
        val count = manifest.classes.size
        if (logits[2] != count) return "classes has $count entries but there are ${logits[2]} logit columns"
        return post.ignoredClasses.firstOrNull { it >= count }?.let { "ignored class $it is not one of the $count classes" }
    }

    private fun masks(manifest: Manifest): String? {
        val (graph, spec) = manifest.graphM to manifest.postprocess.masks
        if (graph == null && spec == null) return if (manifest.native?.m == null) null else NATIVE_MASKS
        if (graph == null) return "graph m is missing, which postprocess.masks need"
        if (spec == null) return "postprocess.masks are missing, which graph m is for"
        if (manifest.native != null && manifest.native.m == null) return NATIVE_MASKS
        val given = manifest.lastGraph.outputs.associateBy { it.name }
        graph.inputs.firstOrNull { it.name != spec.kept && given[it.name] != it }
            ?.let { return "graph m reads '${it.name}' ${it.shape}, which the graph before it does not give" }
        val kept = graph.inputs.firstOrNull { it.name == spec.kept }
        if (kept == null || kept.dtype != DType.INT32 || kept.shape.size != 1) {
            return "graph m needs an input '${spec.kept}' of indices, int32 [K]"
        }
        val output = graph.outputs.firstOrNull { it.name == spec.output }
        val fits = output != null && output.dtype == DType.FLOAT32 && output.shape.size == 4 && output.shape[0] == 1 &&
            output.shape[3] == kept.shape[0]
        return if (fits) null else "graph m needs an output '${spec.output}' of masks, float32 [1, h, w, ${kept.shape[0]}]"
    }

    private fun keypoints(manifest: Manifest): String? {
        val post = manifest.postprocess
        val spec = post.keypoints ?: return null
        if (post.masks != null) return "a detector has masks or keypoints, not both"
        for ((index, of) in spec.classes.withIndex()) {
            val where = "postprocess.keypoints.classes[$index]"
            val count = of.names.size
            if (of.classIndex >= manifest.classes.size) return "$where is of class ${of.classIndex}, which there is not"
            if (of.sigmas.size != count) return "$where has ${of.sigmas.size} sigmas for $count keypoints"
            of.skeleton.firstOrNull { (from, to) -> from >= count || to >= count }
                ?.let { (from, to) -> return "$where joins keypoints $from and $to of $count" }
        }
        if (spec.classes.distinctBy { it.classIndex }.size != spec.classes.size) {
            return "postprocess.keypoints names a class twice"
        }
        val queries = manifest.lastGraph.outputs.first { it.name == post.boxes }.shape[1]
        val expected = listOf(1, queries, spec.count, KEYPOINT_VALUES)
        val output = manifest.lastGraph.outputs.firstOrNull { it.name == spec.output }
        val fits = output != null && output.dtype == DType.FLOAT32 && output.shape == expected
        return if (fits) null else "the last graph needs an output '${spec.output}' of keypoints, float32 $expected"
    }

    private const val KEYPOINT_VALUES = 7
    private const val NATIVE_MASKS = "only one of the native and the portable form has a graph of masks"
}
