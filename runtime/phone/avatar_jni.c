/* The engine for Avatar.kt: a model is the address of its memory. */
#include "avatar.h"

#include <jni.h>
#include <stdlib.h>

static struct avatar_model *model_at(jlong address) { return (struct avatar_model *)(intptr_t)address; }

JNIEXPORT jlong JNICALL Java_Engine_open(JNIEnv *env, jobject self, jbyteArray file) {
    (void)self;
    const size_t size = (size_t)(*env)->GetArrayLength(env, file);
    jbyte *bytes = (*env)->GetByteArrayElements(env, file, NULL);
    if (!bytes) return 0; /* Java throws */
    size_t needed;
    struct avatar_model *model = NULL;
    void *memory = NULL;
    enum avatar_error error = avatar_measure(bytes, size, &needed);
    if (!error) memory = malloc(needed);
    if (!error) error = avatar_load(bytes, size, memory, needed, &model);
    (*env)->ReleaseByteArrayElements(env, file, bytes, JNI_ABORT);
    if (!error) return (jlong)(intptr_t)model;
    free(memory);
    jclass exception = (*env)->FindClass(env, "java/lang/IllegalArgumentException");
    if (exception) (*env)->ThrowNew(env, exception, avatar_error_text(error));
    return 0;
}

JNIEXPORT jint JNICALL Java_Engine_latentDim(JNIEnv *env, jobject self, jlong model) {
    (void)env, (void)self;
    return avatar_latent_dim(model_at(model));
}

JNIEXPORT jint JNICALL Java_Engine_width(JNIEnv *env, jobject self, jlong model) {
    (void)env, (void)self;
    return avatar_width(model_at(model));
}

JNIEXPORT jint JNICALL Java_Engine_height(JNIEnv *env, jobject self, jlong model) {
    (void)env, (void)self;
    return avatar_height(model_at(model));
}

JNIEXPORT jint JNICALL Java_Engine_channels(JNIEnv *env, jobject self, jlong model) {
    (void)env, (void)self;
    return avatar_channels(model_at(model));
}

JNIEXPORT void JNICALL Java_Engine_draw(JNIEnv *env, jobject self, jlong model, jfloatArray z, jbyteArray image) {
    (void)self;
    jfloat *numbers = (*env)->GetFloatArrayElements(env, z, NULL);
    jbyte *pixels = (*env)->GetByteArrayElements(env, image, NULL);
    if (numbers && pixels) avatar_draw(model_at(model), numbers, (uint8_t *)pixels);
    if (numbers) (*env)->ReleaseFloatArrayElements(env, z, numbers, JNI_ABORT);
    if (pixels) (*env)->ReleaseByteArrayElements(env, image, pixels, 0);
}

JNIEXPORT void JNICALL Java_Engine_close(JNIEnv *env, jobject self, jlong model) {
    (void)env, (void)self;
    free(model_at(model));
}
