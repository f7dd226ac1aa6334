package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.CompiledForm
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.FormGraphs
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.engine.NativeAttempts
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.engine.forms
import org.detr2litert.core.manifest.GraphSpec
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.manifest.NativeFiles
import java.io.File
import java.nio.file.Files
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertSame

class GraphFormTest {
    private val manifest: Manifest by lazy {
        Bundle.peek(File(Goldens.root, "bundles/native")).copy(native = NativeFiles("a.native", "b.native"))
    }

    private class Compiled(val spec: GraphSpec, val source: Compiled?) : AutoCloseable {
        var closed = false

        override fun close() {
            closed = true
        }
    }

    /** Compiles everything but [refused]; records all that it was asked for, and made. */
    private class Compiler(private vararg val refused: String, private val fault: Exception? = null) {
        val asked = ArrayList<String>()
        val made = ArrayList<Compiled>()

        fun compile(spec: GraphSpec, source: Compiled?): Compiled {
            asked += spec.file
            if (spec.file in refused) {
                throw fault ?: EngineException(EngineException.Kind.GPU_REFUSED, "${spec.file} does not run whole")
            }
            return Compiled(spec, source).also { made += it }
        }
    }

    private fun first(compiler: Compiler, processor: Processor = Processor.GPU, attempts: NativeAttempts? = null) =
        CompiledForm.first(manifest.forms(processor), attempts, compiler::compile)

    private fun CompiledForm<Compiled>.files() = listOfNotNull(a.spec.file, b?.spec?.file)

    @Test
    fun theNativeFormComesFirstOnTheGpuOnly() {
        val portable = FormGraphs(GraphForm.PORTABLE, manifest.graphA, manifest.graphB)
        val (a, b) = manifest.graphA.copy(file = "a.native") to manifest.graphB?.copy(file = "b.native")
        assertEquals(listOf(FormGraphs(GraphForm.NATIVE, a, b), portable), manifest.forms(Processor.GPU))
        assertEquals(listOf(portable), manifest.forms(Processor.CPU))
        assertEquals(listOf(portable), manifest.copy(native = null).forms(Processor.GPU))
    }

    @Test
    fun theNativeFormRunsWhereItIsAccepted() {
        val compiler = Compiler()
        val made = first(compiler)
        assertEquals(FormInUse(GraphForm.NATIVE), made.inUse)
        assertEquals(listOf("a.native", "b.native"), made.files())
        assertEquals(made.files(), compiler.asked)
        assertSame(made.a, made.b?.source)
        assertEquals(listOf("graph_a.tflite", "graph_b.tflite"), first(Compiler("a.native"), Processor.CPU).files())
    }

    @Test
    fun ifEitherNativeGraphIsRefusedBothPortableOnesRun() {
        for (refused in listOf("a.native", "b.native")) {
            val compiler = Compiler(refused)
            val made = first(compiler)
            assertEquals(FormInUse(GraphForm.PORTABLE, "$refused does not run whole"), made.inUse)
            assertEquals(listOf("graph_a.tflite", "graph_b.tflite"), made.files())
            assertSame(made.a, made.b?.source)
            assertEquals(made.files(), compiler.asked.takeLast(2))
            assertEquals(compiler.made - listOfNotNull(made.a, made.b).toSet(), compiler.made.filter { it.closed }, refused)
        }
    }

    @Test
    fun ofOneGraphOnlyGraphAIsCompiled() {
        val one = manifest.copy(graphB = null, native = NativeFiles("a.native", null))
        for ((refused, files) in mapOf("" to listOf("a.native"), "a.native" to listOf("a.native", "graph_a.tflite"))) {
            val compiler = Compiler(refused)
            val made = CompiledForm.first(one.forms(Processor.GPU), compile = compiler::compile)
            assertEquals(files, compiler.asked)
            assertEquals(null, made.b)
        }
    }

    @Test
    fun theGraphOfTheMasksIsCompiledLastAndOfTheSameForm() {
        val masks = Bundle.peek(File(Goldens.root, "bundles/masks"))
        val native = NativeFiles("a.native", null, "m.native")
        val cases = mapOf("" to listOf("a.native", "m.native"), "m.native" to listOf("graph_a.tflite", "graph_m.tflite"))
        for ((refused, files) in cases) {
            val compiler = Compiler(refused)
            val made = CompiledForm.first(masks.copy(native = native).forms(Processor.GPU), compile = compiler::compile)
            assertEquals(files, listOfNotNull(made.a.spec.file, made.m?.spec?.file))
            assertSame(made.a, made.m?.source, "it shares the buffers of the graph that gives the embeddings")
            assertEquals(compiler.made - listOfNotNull(made.a, made.m).toSet(), compiler.made.filter { it.closed })
        }
        val two = manifest.copy(graphM = masks.graphM, native = null)
        val made = CompiledForm.first(two.forms(Processor.CPU), compile = Compiler()::compile)
        assertSame(made.b, made.m?.source)
    }

    @Test
    fun ifBothFormsAreRefusedTheErrorIsThePortableOnes() {
        val compiler = Compiler("b.native", "graph_b.tflite")
        val error = assertFailsWith<EngineException> { first(compiler) }
        assertEquals("graph_b.tflite does not run whole", error.message)
        assertEquals(listOf("a.native", "graph_a.tflite"), compiler.made.map { it.spec.file })
        assertEquals(compiler.made, compiler.made.filter { it.closed })
    }

    @Test
    fun aFormThatEndedTheProcessTwiceIsNotTriedAgain() {
        val folder = Files.createTempDirectory("attempts").toFile()
        val file = File(folder, "cache/one.attempts")

        // What a process leaves that ends while it compiles: the file as it is during the compilation.
        fun die() {
            var left = ""
            val seen = Compiler()
            CompiledForm.first(manifest.forms(Processor.GPU), NativeAttempts(file)) { spec, source: Compiled? ->
                left = file.readText()
                seen.compile(spec, source)
            }
            assertEquals(listOf("a.native", "b.native"), seen.asked)
            file.writeText(left)
        }
        die()
        assertEquals(1, NativeAttempts(file).deaths)
        die()
        val compiler = Compiler()
        val made = first(compiler, attempts = NativeAttempts(file))
        assertEquals(listOf("graph_a.tflite", "graph_b.tflite"), compiler.asked)
        assertEquals(GraphForm.PORTABLE, made.inUse.form)
        assertContains(made.inUse.refusal.orEmpty(), "ended 2 times")
        assertEquals(2, NativeAttempts(file).deaths)
        folder.deleteRecursively()
    }

    @Test
    fun anAttemptThatReturnsIsForgotten() {
        val folder = Files.createTempDirectory("attempts").toFile()
        val file = File(folder, "one.attempts").apply { writeText("1") }
        assertEquals(GraphForm.NATIVE, first(Compiler(), attempts = NativeAttempts(file)).inUse.form)
        assertFalse(file.exists())
        assertEquals(GraphForm.PORTABLE, first(Compiler("b.native"), attempts = NativeAttempts(file)).inUse.form)
        assertFalse(file.exists())
        // Where no file can be written, the form is tried all the same.
        val nowhere = NativeAttempts(File(File(folder, "file").apply { writeText("") }, "one"))
        assertEquals(GraphForm.NATIVE, first(Compiler(), attempts = nowhere).inUse.form)
        folder.deleteRecursively()
    }

    @Test
    fun aBugIsNotTakenForARefusal() {
        val compiler = Compiler("b.native", fault = IllegalStateException("a bug"))
        assertFailsWith<IllegalStateException> { first(compiler) }
        assertEquals(listOf("a.native", "b.native"), compiler.asked)
        assertEquals(compiler.made, compiler.made.filter { it.closed })
    }
}
