package org.detr2litert.core

import org.detr2litert.core.host.AttributeRule
import org.detr2litert.core.host.AttributeType
import org.detr2litert.core.host.HostLimits
import org.detr2litert.core.host.HostOps
import org.detr2litert.core.host.InputRule
import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.tensor.DType
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals

/** [HostOps] has the rows of `host_runtime/host_ops.json`, field by field. */
class HostTableTest {
    private val json = JsonObject.root(Goldens.json(File(Goldens.root, "host_ops.json")))
    private val ops: Map<String, JsonObject> = json.child("ops").children()

    @Test
    fun limits() {
        assertEquals(json.whole("max_rank"), HostLimits.MAX_RANK)
        assertEquals(json.whole("max_elements"), HostLimits.MAX_ELEMENTS)
        assertEquals(json.whole("max_ops"), HostLimits.MAX_OPS)
        assertEquals(json.whole("max_growth"), HostLimits.MAX_GROWTH)
        assertEquals(json.number("free_elements"), HostLimits.FREE_ELEMENTS.toDouble())
        assertEquals(json.number("max_work"), HostLimits.MAX_WORK.toDouble())
        assertEquals(json.texts("dtypes"), HostLimits.dtypes.map { it.label })
    }

    @Test
    fun names() = assertEquals(ops.keys, HostOps.table.keys, "the ops of host_ops.json, and those of HostOps.kt")

    @Test
    fun inputs() {
        for ((name, op) in ops) assertEquals(op.objects("inputs").map(::input), HostOps.table.getValue(name).inputs, name)
    }

    @Test
    fun attributes() {
        for ((name, op) in ops) {
            val rows = if (op.has("attributes")) op.child("attributes").children() else emptyMap()
            assertEquals(rows.mapValues { attribute(it.value) }, HostOps.table.getValue(name).attributes, name)
        }
    }

    @Test
    fun outputsAndVerbs() {
        for ((name, op) in ops) {
            val rule = HostOps.table.getValue(name)
            assertEquals(op.child("output").text("dtype") to op.text("verb"), rule.output.label to rule.verb, name)
        }
    }

    private fun input(json: JsonObject): InputRule {
        json.allowOnly(setOf("name", "dtype", "ranks"), setOf("optional", "repeats"))
        val (least, most) = json.wholes("ranks")
        return InputRule(
            json.text("name"),
            least..most,
            DType.of(json.text("dtype")),
            json.has("optional") && json.flag("optional"),
            if (json.has("repeats")) json.whole("repeats") else 1,
        )
    }

    private fun attribute(json: JsonObject): AttributeRule {
        json.allowOnly(setOf("type"), setOf("minimum", "maximum", "values", "optional"))
        return AttributeRule(
            AttributeType.entries.single { it.label == json.text("type") },
            if (json.has("minimum")) json.number("minimum") else 0.0,
            if (json.has("maximum")) json.number("maximum") else 0.0,
            if (json.has("values")) json.texts("values") else emptyList(),
            json.has("optional") && json.flag("optional"),
        )
    }
}
