// All plugins on one class path, so that the Kotlin that AGP brings is the catalog's.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.jvm) apply false
}
