package org.detr2litert.core.engine

import org.detr2litert.core.manifest.GraphSpec
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.TensorSpec

/** A form of a bundle's graphs: [NATIVE] in the GPU delegate's own operators, [PORTABLE] in those that every runtime has. */
enum class GraphForm(val label: String) {
    NATIVE("native"),
    PORTABLE("portable"),
}

/** The graphs in one form; [b] is null where one gives boxes and logits, [m] where there are no masks. */
data class FormGraphs(val form: GraphForm, val a: GraphSpec, val b: GraphSpec?, val m: GraphSpec? = null)

/**
 * The form that runs.
 *
 * @property refusal why the native form does not run here, in one line; null if it runs, or was not tried.
 */
data class FormInUse(val form: GraphForm, val refusal: String? = null)

/** The forms to try, in order: on a GPU the native one first, if the bundle has it; the CPU runs the portable one only. */
fun Manifest.forms(processor: Processor): List<FormGraphs> {
    val native = graphs(GraphForm.NATIVE).takeIf { processor == Processor.GPU }
    return listOfNotNull(native, graphs(GraphForm.PORTABLE))
}

/** The graphs in one form; null for the native one of a bundle without it. */
fun Manifest.graphs(form: GraphForm): FormGraphs? = when (form) {
    GraphForm.PORTABLE -> FormGraphs(form, graphA, graphB, graphM)

    GraphForm.NATIVE -> native?.let { files ->
        val a = graphA.copy(file = files.a, inputs = files.pixels?.let { listOf(pixels(it)) } ?: graphA.inputs)
        FormGraphs(form, a, files.b?.let { graphB?.copy(file = it) }, files.m?.let { graphM?.copy(file = it) })
    }
}

/** The input [name] of the resized picture's pixels. */
private fun Manifest.pixels(name: String) =
    TensorSpec(name, preprocess.run { listOf(1, height, width, channels) }, DType.UINT8)
