/* The C interface, from a program in C11: what it gives, what it refuses, and that memory is given back.
   Arguments: a detector's model file. */
#include <leat/leat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define EXPECT(what) \
    do { \
        if (!(what)) { \
            failures++; \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #what, leat_last_error()); \
        } \
    } while (0)
#define EXPECT_ERROR(call, status, part) \
    do { \
        EXPECT((call) == (status)); \
        EXPECT(strstr(leat_last_error(), part) != NULL); \
    } while (0)

/* The sizes of public structs on 64-bit machines are part of the ABI: programs allocate them. */
_Static_assert(sizeof(void *) != 8 || sizeof(leat_tensor) == 56, "leat_tensor");
_Static_assert(sizeof(void *) != 8 || sizeof(leat_image) == 88, "leat_image");
_Static_assert(sizeof(void *) != 8 || sizeof(leat_port) == 32, "leat_port");
_Static_assert(sizeof(void *) != 8 || sizeof(leat_detection) == 48, "leat_detection");
_Static_assert(sizeof(void *) != 8 || sizeof(leat_class_score) == 24, "leat_class_score");
_Static_assert(sizeof(leat_status) == 4 && sizeof(leat_type) == 4, "enumerations");

static int released = 0;

static void release(void *user)
{
    (void)user;
    released++;
}

static leat_tensor tensor_of(leat_port port, void *data, size_t bytes)
{
    leat_tensor tensor = {port.type, port.rank, port.sizes, data, bytes, release, NULL};
    return tensor;
}

static leat_compiled_model *compile(const char *path, const char *device)
{
    leat_model *model = NULL;
    leat_compiled_model *compiled = NULL;
    EXPECT(leat_read_model(path, &model) == LEAT_OK);
    EXPECT(leat_compile(model, device, NULL, 0, &compiled) == LEAT_OK);
    leat_model_free(model);
    return compiled;
}

static void test_models(const char *path)
{
    leat_model *model = NULL;
    EXPECT_ERROR(leat_read_model("/no/such.onnx", &model), LEAT_ERROR, "/no/such.onnx");
    EXPECT(model == NULL);
    EXPECT_ERROR(leat_read_model(NULL, &model), LEAT_ERROR, "path is null");
    EXPECT_ERROR(leat_read_model(path, NULL), LEAT_ERROR, "model is null");
    EXPECT(leat_read_model(path, &model) == LEAT_OK);

    leat_compiled_model *compiled = NULL;
    const leat_option options[] = {{"num-streams", "1"}, {"performance-hint", "throughput"}, {"pinning", "off"}};
    EXPECT(leat_compile(model, "CPU", options, 3, &compiled) == LEAT_OK);
    EXPECT(leat_depth(compiled) >= 1 && leat_most_depth(compiled) >= leat_depth(compiled));
    EXPECT(leat_input_count(compiled) == 1);
    EXPECT(leat_output_count(compiled) == 1);
    leat_port port;
    EXPECT(leat_input(compiled, 0, &port) == LEAT_OK);
    EXPECT(strcmp(port.name, "images") == 0 && port.type == LEAT_F32 && port.rank == 4 && !port.image);
    EXPECT_ERROR(leat_output(compiled, 7, &port), LEAT_ERROR, "there is no port 7: there are 1");
    EXPECT_ERROR(leat_input(NULL, 0, &port), LEAT_ERROR, "compiled is null");
    int streams = 0;
    for (size_t i = 0; i < leat_setting_count(compiled); i++) {
        leat_setting setting;
        EXPECT(leat_get_setting(compiled, i, &setting) == LEAT_OK);
        streams += strcmp(setting.name, "num_streams") == 0 && strcmp(setting.value, "1") == 0 && *setting.reason;
    }
    EXPECT(streams == 1);
    leat_compiled_model_free(compiled);

    const leat_option wrong[][2] = {{{"num-streams", "many"}, {"", ""}},
                                    {{"performance-hint", "fast"}, {"", ""}},
                                    {{"colour", "red"}, {"", ""}},
                                    {{NULL, NULL}, {"", ""}}};
    const char *told[] = {"option num-streams: \"many\" is not a whole number",
                          "option performance-hint: \"fast\" is none of latency, throughput",
                          "there is no option \"colour\"; the options are performance-hint,", "there is no option \"\""};
    for (size_t i = 0; i < 4; i++)
        EXPECT_ERROR(leat_compile(model, NULL, wrong[i], 1, &compiled), LEAT_ERROR, told[i]);
    EXPECT_ERROR(leat_compile(model, "TPU", NULL, 0, &compiled), LEAT_ERROR, "there is no device \"TPU\"");
    EXPECT_ERROR(leat_model_reshape(model, "images", NULL, 1), LEAT_ERROR, "sizes is null");
    const int64_t sizes[] = {-3};
    EXPECT_ERROR(leat_model_reshape(model, "nothing", sizes, 1), LEAT_ERROR, "a size of -3");
    leat_model_free(model);
    leat_model_free(NULL);
    leat_compiled_model_free(NULL);
    leat_request_free(NULL);
    leat_vision_free(NULL);
    EXPECT(leat_most_depth(NULL) == 0);
    EXPECT(leat_depth(NULL) == 0 && leat_input_count(NULL) == 0 && leat_setting_count(NULL) == 0);
}

static void test_tensors(const char *path)
{
    leat_compiled_model *compiled = compile(path, "CPU");
    leat_request *request = NULL;
    EXPECT(leat_request_create(compiled, &request) == LEAT_OK);
    leat_port in;
    EXPECT(leat_input(compiled, 0, &in) == LEAT_OK);
    leat_tensor own, output;
    EXPECT(leat_request_tensor(request, NULL, &own) == LEAT_OK);
    EXPECT(own.rank == 4 && own.bytes > 0 && own.data && !own.release);
    memset(own.data, 0, own.bytes);
    EXPECT(leat_request_infer(request) == LEAT_OK);
    EXPECT(leat_request_tensor(request, "output0", &output) == LEAT_OK);
    const size_t count = output.bytes / sizeof(float);
    float *expected = malloc(output.bytes);
    memcpy(expected, output.data, output.bytes);

    /* The same zeros in memory of the program's. */
    void *memory = calloc(1, own.bytes);
    leat_tensor given = tensor_of(in, memory, own.bytes);
    EXPECT(leat_request_set_tensor(request, "images", &given) == LEAT_OK);
    EXPECT(released == 0);
    EXPECT(leat_request_infer(request) == LEAT_OK);
    EXPECT(leat_request_tensor(request, "output0", &output) == LEAT_OK);
    EXPECT(memcmp(expected, output.data, count * sizeof(float)) == 0);
    uint64_t copied = 1;
    EXPECT(leat_request_bytes_copied(request, &copied) == LEAT_OK);
    EXPECT(copied == 0);

    /* Set again as a batch of one, which is copied. */
    leat_tensor again = tensor_of(in, memory, own.bytes);
    EXPECT(leat_request_set_tensors(request, "images", &again, 1) == LEAT_OK);
    EXPECT(released == 1);
    EXPECT(leat_request_infer(request) == LEAT_OK);
    EXPECT(leat_request_bytes_copied(request, &copied) == LEAT_OK);
    EXPECT(copied == own.bytes);

    /* And as the region that is all of it. */
    leat_tensor owner = tensor_of(in, memory, own.bytes);
    const int64_t begin[] = {0, 0, 0, 0};
    EXPECT(leat_request_set_region(request, "images", &owner, begin, in.sizes) == LEAT_OK);
    EXPECT(released == 2);
    EXPECT_ERROR(leat_request_set_region(request, "images", &owner, in.sizes, in.sizes), LEAT_ERROR, "does not");
    EXPECT(released == 3);

    /* What fails gives its memory back as well. */
    leat_tensor small = tensor_of(in, memory, 8), nothing = tensor_of(in, NULL, own.bytes),
                typeless = tensor_of(in, memory, own.bytes), flat = tensor_of(in, memory, own.bytes);
    typeless.type = 99;
    flat.rank = 1;
    EXPECT_ERROR(leat_request_set_tensor(request, "images", &small), LEAT_ERROR, "does not fit in 8 bytes");
    EXPECT_ERROR(leat_request_set_tensor(request, "images", &nothing), LEAT_ERROR, "data of the tensor is null");
    EXPECT_ERROR(leat_request_set_tensor(request, "images", &typeless), LEAT_ERROR, "no type 99");
    EXPECT_ERROR(leat_request_set_tensor(request, "images", &flat), LEAT_ERROR, "does not fit the port");
    EXPECT_ERROR(leat_request_set_tensor(request, "labels", &flat), LEAT_ERROR, "no port \"labels\"");
    EXPECT(released == 8);
    leat_request_free(request);
    EXPECT(released == 9);
    leat_compiled_model_free(compiled);
    free(memory);
    free(expected);
}

struct calls {
    int count, cancelled, restarts;
    char error[200];
};

static void count_call(leat_request *request, leat_status status, const char *error, void *user)
{
    struct calls *calls = user;
    calls->count++;
    calls->cancelled += status == LEAT_CANCELLED;
    snprintf(calls->error, sizeof calls->error, "%s", error ? error : "");
    if (calls->restarts-- > 0)
        EXPECT(leat_request_start(request) == LEAT_OK);
}

static void test_states(const char *path)
{
    leat_compiled_model *compiled = compile(path, "FAKE(latency_ms=1000)");
    leat_request *request = NULL;
    EXPECT(leat_request_create(compiled, &request) == LEAT_OK);
    leat_compiled_model_free(compiled);
    struct calls calls = {0};
    leat_state state;
    leat_tensor tensor;
    EXPECT(leat_request_set_callback(request, count_call, &calls) == LEAT_OK);
    EXPECT_ERROR(leat_request_wait_for(request, 0), LEAT_TIMEOUT, "never ran");
    EXPECT_ERROR(leat_request_wait_for(request, -1), LEAT_ERROR, "negative");
    EXPECT(leat_request_start(request) == LEAT_OK);
    EXPECT(leat_request_state(request, &state) == LEAT_OK && state == LEAT_STATE_BUSY);
    EXPECT_ERROR(leat_request_start(request), LEAT_BUSY, "while the request is running");
    EXPECT_ERROR(leat_request_tensor(request, NULL, &tensor), LEAT_BUSY, "while the request is running");
    EXPECT(leat_request_cancel(request) == LEAT_OK);
    EXPECT(leat_request_state(request, &state) == LEAT_OK && state == LEAT_STATE_CANCELLED);
    EXPECT_ERROR(leat_request_start(request), LEAT_CANCELLED, "was cancelled");
    EXPECT_ERROR(leat_request_wait(request), LEAT_CANCELLED, "was cancelled");
    EXPECT(calls.count == 1 && calls.cancelled == 1);
    EXPECT(leat_request_state(request, &state) == LEAT_OK && state == LEAT_STATE_IDLE);
    leat_request_free(request);
}

static void test_callbacks(const char *path)
{
    leat_compiled_model *compiled = compile(path, "FAKE(fail_every=5)");
    leat_request *request = NULL;
    EXPECT(leat_request_create(compiled, &request) == LEAT_OK);
    struct calls calls = {0};
    calls.restarts = 4;
    EXPECT(leat_request_set_callback(request, count_call, &calls) == LEAT_OK);
    EXPECT(leat_request_start(request) == LEAT_OK);
    EXPECT_ERROR(leat_request_wait(request), LEAT_ERROR, "job 5 fails as scripted");
    EXPECT(calls.count == 5);
    EXPECT(strstr(calls.error, "job 5 fails as scripted") != NULL);
    EXPECT(leat_request_set_callback(request, NULL, NULL) == LEAT_OK);
    EXPECT(leat_request_infer(request) == LEAT_OK);
    EXPECT(leat_request_wait_for(request, INT64_MAX) == LEAT_OK);
    EXPECT(calls.count == 5);
    leat_request_free(request);
    leat_compiled_model_free(compiled);
}

static void test_vision(const char *path)
{
    leat_vision_model *model = NULL;
    const leat_option options[] = {{"device", "CPU"}, {"threshold", "0.2"}};
    const leat_option wrong = {"task", "guess"};
    EXPECT_ERROR(leat_vision_open(path, &wrong, 1, &model), LEAT_ERROR, "no task \"guess\"");
    EXPECT(leat_vision_open(path, options, 2, &model) == LEAT_OK);
    EXPECT(leat_vision_detects(model) == 1);
    leat_request *request = NULL;
    EXPECT(leat_vision_request(model, &request) == LEAT_OK);
    const leat_detection *detections = NULL;
    const leat_class_score *classes = NULL;
    size_t count = 99;
    EXPECT(leat_vision_detections(model, request, &detections, &count) == LEAT_ERROR);

    enum { width = 64, height = 48 };
    uint8_t *pixels = malloc(3 * width * height);
    memset(pixels, 128, 3 * width * height);
    leat_image frame = {LEAT_RGB, width, height, {pixels}, {3 * width}, 0, 0, release, NULL};
    const int before = released;
    leat_image narrow = frame, empty = frame, formless = frame;
    narrow.strides[0] = 10;
    empty.planes[0] = NULL;
    formless.format = 77;
    const leat_region outside = {32, 0, 40, 48};
    EXPECT_ERROR(leat_vision_set_frame(model, request, &narrow, NULL), LEAT_ERROR, "a stride of 10, want at least 192");
    EXPECT_ERROR(leat_vision_set_frame(model, request, &empty, NULL), LEAT_ERROR, "lacks its plane 0");
    EXPECT_ERROR(leat_vision_set_frame(model, request, &formless, NULL), LEAT_ERROR, "no pixel format 77");
    EXPECT_ERROR(leat_vision_set_frame(model, request, &frame, &outside), LEAT_ERROR, "does not lie within");
    EXPECT(released == before + 4);
    EXPECT(leat_vision_set_frame(model, request, &frame, NULL) == LEAT_OK);
    EXPECT(leat_request_infer(request) == LEAT_OK);
    EXPECT(leat_vision_detections(model, request, &detections, &count) == LEAT_OK);
    EXPECT(count == 0); /* a grey wall */
    EXPECT_ERROR(leat_vision_classes(model, request, &classes, &count), LEAT_ERROR, "the model detects");
    leat_vision_free(model);
    leat_request_free(request);
    EXPECT(released == before + 5);
    free(pixels);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    EXPECT(*leat_version() && strcmp(leat_last_error(), "") == 0);
    test_models(argv[1]);
    test_tensors(argv[1]);
    test_states(argv[1]);
    test_callbacks(argv[1]);
    test_vision(argv[1]);
    if (failures)
        fprintf(stderr, "%d failures\n", failures);
    return failures != 0;
}
