plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.detr2litert.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "org.detr2litert.sample"
        minSdk = 24 // LiteRT 2.3's own
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        buildConfigField("String", "LITERT_VERSION", "\"${libs.versions.litert.get()}\"")
        ndk {
            abiFilters += "arm64-v8a" // what LiteRT's GPU accelerator is built for
        }
    }

    buildFeatures {
        buildConfig = true
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    androidResources {
        // Graphs and constants are copied out of the assets once; compressed ones would only make that slower.
        noCompress += listOf("tflite", "safetensors")
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.litert)
    implementation(libs.litert.gpu)
}
