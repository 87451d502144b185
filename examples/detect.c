/* Detection from C: a request with a callback, and frames whose memory goes back to its pool when Leat is done with it.

   detect MODEL FRAMES.rgb WIDTH HEIGHT      (packed RGB, frame after frame) */

#include <leat/leat.h>

#include <stdio.h>
#include <stdlib.h>

static void on_end(leat_request *request, leat_status status, const char *error, void *user)
{
    (void)request;
    int *failed = user;
    if (status != LEAT_OK) {
        fprintf(stderr, "an inference failed: %s\n", error);
        ++*failed;
    }
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, leat_last_error());
    return 1;
}

static int print_objects(const leat_vision_model *model, leat_request *request, int number)
{
    const leat_detection *found;
    size_t count;
    if (leat_vision_detections(model, request, &found, &count) != LEAT_OK)
        return fail("reading the outputs");
    for (size_t i = 0; i < count; i++)
        printf("frame %d: %s %.2f at %.0f,%.0f %.0fx%.0f\n", number, found[i].label, (double)found[i].score,
               (double)found[i].box.x, (double)found[i].box.y, (double)found[i].box.width, (double)found[i].box.height);
    return 0;
}

static int watch(const leat_vision_model *model, leat_request *request, FILE *file, int width, int height)
{
    const size_t bytes = 3 * (size_t)width * (size_t)height;
    for (int number = 0;; number++) {
        uint8_t *pixels = malloc(bytes);
        if (!pixels || fread(pixels, 1, bytes, file) != bytes) {
            free(pixels);
            return 0;
        }
        leat_image frame = {.format = LEAT_RGB, .width = width, .height = height, .release = free, .user = pixels};
        frame.planes[0] = pixels;
        frame.strides[0] = 3 * (ptrdiff_t)width;
        if (leat_vision_set_frame(model, request, &frame, NULL) != LEAT_OK)
            return fail("setting the frame");
        if (leat_request_start(request) != LEAT_OK)
            return fail("starting");
        /* Here the program does other work; leat_request_wait_for() with 0 asks whether the answer is there. */
        if (leat_request_wait(request) != LEAT_OK || print_objects(model, request, number))
            return 1;
    }
}

int main(int argc, char **argv)
{
    const int width = argc == 5 ? atoi(argv[3]) : 0, height = argc == 5 ? atoi(argv[4]) : 0;
    if (width < 1 || height < 1) {
        fprintf(stderr, "usage: detect MODEL FRAMES.rgb WIDTH HEIGHT\n");
        return 2;
    }
    FILE *file = fopen(argv[2], "rb");
    if (!file) {
        perror(argv[2]);
        return 1;
    }
    const leat_option options[] = {{"task", "detect"}, {"performance-hint", "latency"}};
    leat_vision_model *model = NULL;
    leat_request *request = NULL;
    int status, failed = 0;
    if (leat_vision_open(argv[1], options, 2, &model) != LEAT_OK || leat_vision_request(model, &request) != LEAT_OK ||
        leat_request_set_callback(request, on_end, &failed) != LEAT_OK)
        status = fail("opening the model");
    else
        status = watch(model, request, file, width, height);
    leat_request_free(request);
    leat_vision_free(model);
    fclose(file);
    return status || failed;
}
