#include "element_test.h"

namespace leat {
namespace {

/// `%` in a setting or message stands for the folder.
std::string in_folder(std::string text, const TemporaryFolder &folder)
{
    for (size_t at; (at = text.find('%')) != std::string::npos;)
        text.replace(at, 1, folder.path().string());
    return text;
}

TEST(Errors, AreSentencesWhenGoingToPaused)
{
    const TemporaryFolder folder;
    write_detector(folder);
    write_classifier(folder);
    const std::string whole = onnx_bytes(
        onnx_model(onnx_input("x", {1, 3, 8, 8}) + onnx_output("y") + onnx_node("Foo", {"x"}, "y", "name: \"foo\" ")));
    folder.write("unsupported.onnx", whole);
    folder.write("truncated.onnx", std::string_view(whole).substr(0, whole.size() / 2));
    folder.write("text.onnx", "this is not a model");
    const struct {
        const char *element;
        std::vector<PropertyValue> settings;
        const char *message; ///< what it begins with
    } cases[] = {
        {"leatdetect", {}, "property model is not set; want the path of a model file (.onnx, or .xml)"},
        {"leatdetect",
         {{"model", "%/missing.onnx"}},
         "model \"%/missing.onnx\" does not exist; check the property model"},
        {"leatdetect", {{"model", "%/truncated.onnx"}}, "while reading \"%/truncated.onnx\": "},
        {"leatdetect", {{"model", "%/text.onnx"}}, "while reading \"%/text.onnx\": "},
        {"leatdetect",
         {{"model", "%/unsupported.onnx"}},
         "while reading \"%/unsupported.onnx\": node \"foo\": operator Foo (domain ai.onnx, opset 22) is not "
         "supported"},
        {"leatdetect", {{"model", "%/brightness.onnx"}}, "model \"%/brightness.onnx\": "},
        {"leatclassify", {{"model", "%/detector.onnx"}}, "model \"%/detector.onnx\": "},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"device", "TOASTER"}},
         "model \"%/detector.onnx\": there is no device \"TOASTER\"; the devices are "},
        {"leatdetect", {{"model", "%/detector.onnx"}, {"decoder", "tarot"}}, "model \"%/detector.onnx\": "},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"threshold", "1.5"}},
         "property threshold=1.5: want a number from -1 to 1"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"nireq", "-2"}},
         "property nireq=-2: want a number from 0 to 1024"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"nireq", "-2"}, {"inference-interval", "0"}},
         "property inference-interval=0: want a number from 1 to 1e+06; property nireq=-2: want a number from 0 to "
         "1024"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"mean", "1,2"}},
         "property mean: \"1,2\" has 2 numbers, want 1 or 3; give one number or three, such as "
         "mean=123.675,116.28,103.53"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"mean", "grey"}},
         "property mean: \"grey\" is not a number; give one number or three, such as mean=123.675,116.28,103.53"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"scale", "1,0,1"}},
         "property scale: pixels cannot be divided by 0"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"labels", "a,b"}, {"labels-file", "%/labels.txt"}},
         "the properties labels and labels-file are both set; want one of them"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"labels-file", "%/labels.txt"}},
         "property labels-file: labels file \"%/labels.txt\" cannot be read or is empty; want a text with one label a line"},
        {"leatdetect",
         {{"model", "%/detector.onnx"}, {"object-class", "cat"}},
         "property object-class chooses among regions, but inference-region is full-frame; set "
         "inference-region=roi-list"},
        {"leatmetaconvert",
         {{"tags", "{floor"}},
         "property tags: \"{floor\" is not JSON; want an object such as tags={\"camera\":\"door\"}"},
    };
    for (const auto &c : cases) {
        std::vector<PropertyValue> settings;
        std::string what = c.element;
        for (const auto &[name, value] : c.settings) {
            settings.emplace_back(name, in_folder(value, folder));
            what += std::string(" ") + name + "=" + value;
        }
        const std::string expected = in_folder(c.message, folder), message = error_when_starting(c.element, settings);
        EXPECT_EQ(message.substr(0, expected.size()), expected) << what << ": " << message;
        EXPECT_GT(message.size(), expected.size() - 1) << what;
    }
}

TEST(Errors, AValueSetRightAfterwardsCounts)
{
    const TemporaryFolder folder;
    const std::string model = write_detector(folder);
    EXPECT_EQ(error_when_starting("leatdetect",
                                  {{"model", model}, {"device", "REF"}, {"threshold", "9"}, {"threshold", "0.5"}}),
              "");
}

TEST(Errors, RefusedValuesLeaveTheOldOnes)
{
    GstElement *element = gst_element_factory_make("leatdetect", nullptr);
    g_object_set(element, "threshold", 0.25, "threshold", 3.0, "mean", "1,2,3", "mean", "x", nullptr);
    double threshold = 0;
    gchar *mean = nullptr;
    g_object_get(element, "threshold", &threshold, "mean", &mean, nullptr);
    EXPECT_EQ(threshold, 0.25);
    EXPECT_STREQ(mean, "1,2,3");
    g_free(mean);
    gst_object_unref(element);
}

TEST(Errors, EveryPropertyReadsBack)
{
    for (const char *name :
         {"leatdetect", "leatclassify", "leatinfer", "leatoverlay", "leatmetaconvert", "leatpublish", "leattrack"}) {
        GstElement *element = gst_element_factory_make(name, nullptr);
        ASSERT_TRUE(element) << name;
        guint count = 0;
        GParamSpec **specs = g_object_class_list_properties(G_OBJECT_GET_CLASS(element), &count);
        for (guint i = 0; i < count; i++) {
            EXPECT_TRUE(g_param_spec_get_nick(specs[i]) && *g_param_spec_get_nick(specs[i])) << specs[i]->name;
            EXPECT_TRUE(g_param_spec_get_blurb(specs[i]) && *g_param_spec_get_blurb(specs[i])) << specs[i]->name;
            GValue value = G_VALUE_INIT;
            g_value_init(&value, specs[i]->value_type);
            g_object_get_property(G_OBJECT(element), specs[i]->name, &value);
            const bool is_ours = g_type_is_a(specs[i]->owner_type, G_TYPE_FROM_INSTANCE(element)) ||
                                 std::string(g_type_name(specs[i]->owner_type)).starts_with("Leat");
            // Defaults as gst-inspect prints them are those of a new element; inference-region differs by element.
            if (is_ours && (specs[i]->flags & G_PARAM_WRITABLE)) {
                EXPECT_TRUE(g_param_value_defaults(specs[i], &value)) << name << "." << specs[i]->name;
            }
            g_value_unset(&value);
        }
        g_free(specs);
        gst_object_unref(element);
    }
}

} // namespace
} // namespace leat
