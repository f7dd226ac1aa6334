package org.detr2litert.core.engine

import org.detr2litert.core.manifest.GraphSpec
import org.detr2litert.core.manifest.Manifest

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
fun Manifest.forms(processor: Processor): List<FormGraphs> = buildList {
    val files = native
    if (files != null && processor == Processor.GPU) {
        val b = files.b?.let { graphB?.copy(file = it) }
        val m = files.m?.let { graphM?.copy(file = it) }
        add(FormGraphs(GraphForm.NATIVE, graphA.copy(file = files.a), b, m))
    }
    add(FormGraphs(GraphForm.PORTABLE, graphA, graphB, graphM))
}
