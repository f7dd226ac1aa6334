package org.detr2litert.core.screen

import org.detr2litert.core.Goldens
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.preprocess.Picture
import java.io.File
import java.io.IOException
import kotlin.test.assertEquals

/** Drives the reducer through events: the state, and the effects of the last event. */
class ScreenScript(var state: ScreenState = ScreenState(Settings())) {
    var effects: List<ScreenEffect> = emptyList()
        private set

    /** Applies an event. */
    fun on(event: ScreenEvent): ScreenScript {
        val step = ScreenReducer.reduce(state, event)
        state = step.state
        effects = step.effects
        return this
    }

    /** Asserts that [event] changes nothing. */
    fun ignores(event: ScreenEvent) = assertEquals(Step(state), ScreenReducer.reduce(state, event), "$event")

    /** The last event's only effect of type [E]. */
    inline fun <reified E : ScreenEffect> effect(): E = effects.filterIsInstance<E>().single()

    inline fun <reified S : Shown> shown(): S = state.shown as S

    inline fun <reified B : BundleState> bundle(): B = state.bundle as B

    inline fun <reified P : Problem> problem(): P = shown<Shown.Error>().problem as P

    /** Resumes for the first time and lists [bundles]. */
    fun start(vararg bundles: StoredBundle, mayUseCamera: Boolean = true): ScreenScript {
        on(ScreenEvent.Resumed(mayUseCamera))
        return on(ScreenEvent.BundlesListed(effect<ScreenEffect.ListBundles>().number, bundles.toList()))
    }

    /** Completes the running opening. */
    fun opened(with: Manifest = MANIFEST, fingerprint: String = "1"): ScreenScript =
        on(ScreenEvent.BundleOpened(bundle<BundleState.Opening>().number, with, fingerprint, FORM, 12, EXCHANGE))

    /** A screen that shows the camera with the bundle [TINY] open. */
    fun live(): ScreenScript = start(TINY).opened()

    /** A screen that shows the golden picture. */
    fun still(): ScreenScript {
        live().on(ScreenEvent.SubjectChosen(Subject.Sample))
        return on(ScreenEvent.PictureLoaded(shown<Shown.Loading>().number, PICTURE))
    }

    /** The open bundle fails with [error]. */
    fun failed(error: Exception = IOException("broken")): ScreenScript =
        on(ScreenEvent.DetectorFailed(bundle<BundleState.Known>().number, error))

    /** Requests the list of bundles and delivers it. */
    fun listed(vararg bundles: StoredBundle): ScreenScript =
        on(ScreenEvent.BundlesListed(effect<ScreenEffect.ListBundles>().number, bundles.toList()))

    companion object {
        /** A bundle's manifest, with a golden picture. */
        val MANIFEST: Manifest by lazy { Bundle.peek(File(Goldens.root, "bundles/hand_made")) }
        val FORM = FormInUse(GraphForm.PORTABLE, "graph_b.native.tflite does not run whole")
        val EXCHANGE = DetectionExchange(8)
        val PICTURE = picture()
        val TINY by lazy { stored("tiny") }

        fun picture() = object : StillPicture {
            override val pixels = Picture(1, 1)
        }

        fun stored(name: String, fingerprint: String = "1") = StoredBundle(File("/bundles", name), MANIFEST, null, fingerprint)

        fun broken(name: String) = StoredBundle(File("/bundles", name), null, "no manifest.json", null)
    }
}
