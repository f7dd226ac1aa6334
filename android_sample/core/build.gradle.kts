import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.kotlin.jvm)
}

java {
    sourceCompatibility = JavaVersion.VERSION_17
    targetCompatibility = JavaVersion.VERSION_17
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_17
        allWarningsAsErrors = true
    }
}

dependencies {
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test.junit)
}

tasks.test {
    // Written by `python tests/android/make_goldens.py`; -Pgoldens=FOLDER names another place.
    val goldens = providers.gradleProperty("goldens").getOrElse(rootDir.resolve("build/goldens").path)
    inputs.dir(goldens)
    systemProperty("goldens", goldens)
}
