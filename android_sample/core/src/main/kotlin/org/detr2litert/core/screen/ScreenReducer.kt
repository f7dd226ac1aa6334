package org.detr2litert.core.screen

import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Processor
import java.io.File

/** The state after an event, and its effects in order. */
data class Step(val state: ScreenState, val effects: List<ScreenEffect> = emptyList()) {
    constructor(state: ScreenState, vararg effects: ScreenEffect) : this(state, effects.toList())

    /** Appends the step that [next] makes from this step's state. */
    internal inline fun then(next: (ScreenState) -> Step): Step = next(state).let { Step(it.state, effects + it.effects) }
}

/** The app's behaviour as a pure function: (state, event) -> (state, effects). */
object ScreenReducer {
    private val GPU_FAULTS = setOf(EngineException.Kind.NO_GPU, EngineException.Kind.GPU_REFUSED, EngineException.Kind.RUN)

    /** Applies [event] to [state]. */
    fun reduce(state: ScreenState, event: ScreenEvent): Step {
        val step = when (event) {
            is ScreenEvent.Resumed -> resume(state.copy(isInFront = true, mayUseCamera = event.mayUseCamera))

            ScreenEvent.Paused -> Step(state.copy(isInFront = false), ScreenEffect.Save(state.settings))

            is ScreenEvent.CameraAnswered -> cameraAnswered(state, event)

            is ScreenEvent.CameraFailed ->
                if (state.shown == Shown.Live) Step(state.error(Problem.CameraFailed(event.reason))) else Step(state)

            is ScreenEvent.NoFilePicker -> Step(state.error(Problem.NoFilePicker(event.reason)))

            is ScreenEvent.SubjectChosen -> show(state.copy(subject = event.subject))

            ScreenEvent.PictureRequested -> Step(state, ScreenEffect.PickPicture)

            ScreenEvent.BundlesRequested -> list(state) { copy(choosing = it) }

            // The later choice overrides a running import.
            is ScreenEvent.BundleChosen -> open(state.copy(dialog = null, importing = null), event.root)

            ScreenEvent.ImportRequested -> Step(state.copy(dialog = null), ScreenEffect.PickBundle)

            is ScreenEvent.ImportChosen -> import(state, event.uri)

            ScreenEvent.OptionsRequested -> Step(if (state.dialog == null) state.copy(dialog = Dialog.Options) else state)

            is ScreenEvent.OptionsChosen -> chooseOptions(state.copy(dialog = null), event.engine, event.nms)

            ScreenEvent.DialogClosed -> Step(state.copy(dialog = null))

            is ScreenEvent.ThresholdChosen ->
                decodeAgain(state.copy(settings = state.settings.copy(threshold = event.threshold)))

            ScreenEvent.CpuChosen ->
                chooseOptions(state, state.settings.engine.copy(processor = Processor.CPU), state.settings.nms)

            ScreenEvent.SystemSettingsRequested -> Step(state, ScreenEffect.OpenSystemSettings)

            is ScreenEvent.BundlesListed -> listed(state, event)

            is ScreenEvent.ListingFailed -> listingFailed(state, event)

            is ScreenEvent.Imported ->
                if (event.number == state.importing) open(state.copy(importing = null), event.root) else Step(state)

            is ScreenEvent.ImportFailed ->
                if (event.number == state.importing) Step(state.copy(importing = null).failure(event.error)) else Step(state)

            is ScreenEvent.BundleOpened -> opened(state, event)

            is ScreenEvent.DetectorFailed -> detectorFailed(state, event)

            is ScreenEvent.FingerprintRead -> fingerprintRead(state, event)

            is ScreenEvent.PictureLoaded ->
                if (state.shown == Shown.Loading(event.number)) {
                    Step(state.copy(shown = Shown.Still(event.picture)), ScreenEffect.Detect(event.picture))
                } else {
                    Step(state)
                }

            is ScreenEvent.PictureFailed ->
                if (state.shown == Shown.Loading(event.number)) Step(state.failure(event.error)) else Step(state)
        }
        return saving(state.settings, step)
    }

    /** Saves changed settings at once, except the threshold: the slider passes many values, saved at [ScreenEvent.Paused]. */
    private fun saving(before: Settings, step: Step): Step {
        val now = step.state.settings
        return if (now.copy(threshold = before.threshold) == before) {
            step
        } else {
            step.copy(effects = step.effects + ScreenEffect.Save(now))
        }
    }

    // Bundles

    /** Checks for bundles pushed while the app was paused: opens the first one, or reopens a changed one. */
    private fun resume(state: ScreenState): Step {
        val live = state.subject == Subject.Live && state.bundle is BundleState.Ready
        val shown = if (live) show(state) else Step(state)
        return if (state.isBusy) shown else shown.then(::look)
    }

    private fun look(state: ScreenState): Step {
        val waiting = if (state.bundle == BundleState.None) state.wait() else state
        return list(waiting) { copy(looking = it) }
    }

    private inline fun list(state: ScreenState, note: ScreenState.(Int) -> ScreenState): Step {
        val number = state.lastNumber + 1
        return Step(state.copy(lastNumber = number).note(number), ScreenEffect.ListBundles(number))
    }

    private fun listed(state: ScreenState, event: ScreenEvent.BundlesListed): Step = when (event.number) {
        state.looking -> follow(state.copy(looking = null), event.bundles)

        state.choosing -> {
            val dialog = state.dialog ?: Dialog.Bundles(event.bundles)
            Step(state.copy(choosing = null, dialog = dialog))
        }

        else -> Step(state)
    }

    private fun listingFailed(state: ScreenState, event: ScreenEvent.ListingFailed): Step = when (event.number) {
        state.looking -> Step(state.copy(looking = null).failure(event.error))
        state.choosing -> Step(state.copy(choosing = null).failure(event.error))
        else -> Step(state)
    }

    private fun follow(state: ScreenState, bundles: List<StoredBundle>): Step {
        val bundle = state.bundle as? BundleState.Known ?: return openFirst(state, bundles)
        val known = when (bundle) {
            is BundleState.Opening -> null
            is BundleState.Ready -> bundle.fingerprint
            is BundleState.Failed -> bundle.fingerprint
        }
        val now = bundles.firstOrNull { it.root == bundle.root }?.fingerprint
        return if (known != null && now != null && now != known) open(state, bundle.root) else Step(state)
    }

    private fun openFirst(state: ScreenState, bundles: List<StoredBundle>): Step {
        val usable = bundles.filter { it.manifest != null }
        val chosen = usable.firstOrNull { it.root.name == state.settings.bundle } ?: usable.firstOrNull()
        return when {
            chosen != null -> open(state, chosen.root)
            bundles.isEmpty() -> Step(state.error(Problem.NoBundle))
            else -> Step(state.error(Problem.NoUsableBundle(bundles)))
        }
    }

    private fun import(state: ScreenState, uri: String): Step {
        val number = state.lastNumber + 1
        // The imported bundle is opened, so an older listing must not open another one.
        val next = state.copy(lastNumber = number, importing = number, looking = null).wait()
        return Step(next, ScreenEffect.ImportBundle(number, uri))
    }

    private fun open(state: ScreenState, root: File): Step {
        val number = state.lastNumber + 1
        val settings = state.settings.copy(bundle = root.name)
        val opening = BundleState.Opening(number, root, settings.engine)
        val next = state.copy(lastNumber = number, settings = settings, bundle = opening, looking = null).wait()
        return Step(next, ScreenEffect.OpenBundle(number, root, settings.engine))
    }

    private fun opened(state: ScreenState, event: ScreenEvent.BundleOpened): Step {
        val opening = state.bundle as? BundleState.Opening
        if (opening?.number != event.number) return Step(state)
        val ready = BundleState.Ready(
            event.number,
            opening.root,
            opening.options,
            event.manifest,
            event.fingerprint,
            event.form,
            event.openMillis,
            event.exchange,
        )
        return show(state.copy(bundle = ready).scene(Shown.Nothing))
    }

    private fun detectorFailed(state: ScreenState, event: ScreenEvent.DetectorFailed): Step {
        val failed = state.bundle as? BundleState.Known
        if (failed?.number != event.number || failed is BundleState.Failed) return Step(state)
        val ofGpu = failed.options.processor == Processor.GPU && mayBeOfGpu(event.error)
        val next = state.copy(bundle = BundleState.Failed(failed.number, failed.root, failed.options))
        return Step(
            next.error(Problem.Failure(event.error, offersCpu = ofGpu)),
            ScreenEffect.ReadFingerprint(failed.number, failed.root),
        )
    }

    private fun mayBeOfGpu(error: Exception) =
        error is GraphOutputException || (error is EngineException && error.kind in GPU_FAULTS)

    private fun fingerprintRead(state: ScreenState, event: ScreenEvent.FingerprintRead): Step {
        val failed = state.bundle as? BundleState.Failed
        return Step(
            if (failed?.number == event.number) state.copy(bundle = failed.copy(fingerprint = event.fingerprint)) else state,
        )
    }

    // Live, gallery, sample

    /** Shows the chosen subject; opens a bundle first if none is open. */
    private fun show(state: ScreenState): Step = when (val bundle = state.bundle) {
        is BundleState.Ready -> if (state.isBusy) Step(state.wait()) else showSubject(state, bundle)
        is BundleState.Opening -> Step(state.wait())
        is BundleState.Failed -> if (state.isBusy) Step(state.wait()) else open(state, bundle.root)
        BundleState.None -> if (state.isBusy) Step(state.wait()) else look(state)
    }

    private fun showSubject(state: ScreenState, bundle: BundleState.Ready): Step = when (val subject = state.subject) {
        Subject.Live -> showLive(state)

        is Subject.Chosen -> load(state, PictureSource.Picked(subject.uri))

        Subject.Sample -> {
            val image = bundle.manifest.golden?.image
            if (image == null) {
                Step(state.error(Problem.NoSample(bundle.root.name)))
            } else {
                load(state, PictureSource.OfBundle(File(bundle.root, image)))
            }
        }
    }

    private fun showLive(state: ScreenState): Step = when {
        // Opened while paused: the camera starts when the app resumes.
        !state.isInFront -> Step(state)

        state.mayUseCamera -> Step(state.scene(Shown.Live))

        state.isAskingForCamera -> Step(state)

        else -> Step(state.copy(isAskingForCamera = true), ScreenEffect.AskForCamera)
    }

    /** If permission was granted, the camera starts at the [ScreenEvent.Resumed] that follows. */
    private fun cameraAnswered(state: ScreenState, event: ScreenEvent.CameraAnswered): Step {
        val answered = state.copy(isAskingForCamera = false, mayUseCamera = event.allowed)
        if (event.allowed) return Step(answered)
        return Step(answered.copy(subject = Subject.Sample).error(Problem.CameraDenied(forGood = !event.mayAskAgain)))
    }

    private fun load(state: ScreenState, source: PictureSource): Step {
        val number = state.lastNumber + 1
        return Step(state.copy(lastNumber = number).scene(Shown.Loading(number)), ScreenEffect.LoadPicture(number, source))
    }

    // Options

    private fun chooseOptions(state: ScreenState, engine: EngineOptions, nms: Suppression): Step {
        val sameGraphs = engine == state.settings.engine && state.bundle is BundleState.Ready
        val next = state.copy(settings = state.settings.copy(engine = engine, nms = nms))
        val bundle = next.bundle
        return if (sameGraphs || bundle !is BundleState.Known) decodeAgain(next) else open(next, bundle.root)
    }

    /** Decodes a still picture again; live frames use the new settings anyway. */
    private fun decodeAgain(state: ScreenState): Step =
        if (state.shown is Shown.Still) Step(state, ScreenEffect.DecodeAgain) else Step(state)

    // What is on the screen

    private fun ScreenState.scene(next: Shown) = copy(shown = next, scene = scene + 1)

    private fun ScreenState.wait() = if (shown == Shown.Waiting) this else scene(Shown.Waiting)

    private fun ScreenState.error(problem: Problem) = scene(Shown.Error(problem))

    private fun ScreenState.failure(error: Exception) = error(Problem.Failure(error))
}
