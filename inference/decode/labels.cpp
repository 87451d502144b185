#include "heads.h"

#include <cctype>
#include <charconv>
#include <fstream>

namespace leat {

namespace {

/// More classes than any classifier has; guards against absurd ids in a file.
constexpr size_t most_labels = 100'000;

/// Names in quotes, each after an optional number and colon, as Python prints a dict or a list and as JSON writes it:
/// {0: 'person', 1: "driver's seat"} or ["person", "car"]. Without a number the next one. Anything else is skipped.
class QuotedNames {
  public:
    explicit QuotedNames(std::string_view text) : rest_(text) {}

    std::vector<std::string> all()
    {
        while (!rest_.empty()) {
            const char c = rest_.front();
            if (std::isdigit(static_cast<unsigned char>(c)))
                number();
            else if (c == '\'' || c == '"')
                name(c);
            else
                rest_.remove_prefix(1);
        }
        return std::move(names_);
    }

  private:
    void number()
    {
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), next_);
        if (error != std::errc())
            next_ = most_labels;
        rest_.remove_prefix(size_t(end - rest_.data()));
    }

    void name(char quote)
    {
        std::string text;
        size_t i = 1;
        for (; i < rest_.size() && rest_[i] != quote; i++) {
            if (rest_[i] == '\\' && i + 1 < rest_.size())
                i++;
            text += rest_[i];
        }
        rest_.remove_prefix(std::min(i + 1, rest_.size()));
        if (is_key()) {
            number_in(text);
            return;
        }
        if (next_ >= most_labels)
            return;
        if (names_.size() <= next_)
            names_.resize(next_ + 1);
        names_[next_++] = std::move(text);
    }

    /// JSON quotes the numbers too: {"0": "person"}.
    bool is_key() const
    {
        const size_t i = rest_.find_first_not_of(" \t\r\n");
        return i != std::string_view::npos && rest_[i] == ':';
    }

    void number_in(const std::string &text)
    {
        size_t value = 0;
        if (std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc())
            next_ = value;
    }

    std::string_view rest_;
    size_t next_ = 0;
    std::vector<std::string> names_;
};

std::string_view trimmed(std::string_view text)
{
    const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    while (!text.empty() && is_space(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_space(text.back()))
        text.remove_suffix(1);
    return text;
}

std::vector<std::string> split(std::string_view text, std::string_view separators)
{
    std::vector<std::string> names;
    for (size_t begin = 0; begin <= text.size() && names.size() < most_labels;) {
        const size_t end = std::min(text.find_first_of(separators, begin), text.size());
        if (const auto name = trimmed(text.substr(begin, end - begin)); !name.empty())
            names.emplace_back(name);
        begin = end + 1;
    }
    return names;
}

std::vector<std::string> parse_labels(std::string_view text)
{
    text = trimmed(text);
    if (text.starts_with('{') || text.starts_with('['))
        return QuotedNames(text).all();
    for (std::string_view separator : {"\n", ",", ";"})
        if (text.find(separator) != std::string_view::npos)
            return split(text, separator);
    return split(text, " \t");
}

} // namespace

std::vector<std::string> labels_in(const std::map<std::string, std::string> &metadata)
{
    for (std::string_view key : {"names", "labels", "classes"})
        if (auto labels = parse_labels(metadata_value(metadata, key)); !labels.empty())
            return labels;
    return {};
}

std::vector<std::string> read_labels(const std::string &path)
{
    std::ifstream file(path);
    std::vector<std::string> labels;
    for (std::string line; labels.size() < most_labels && std::getline(file, line);)
        labels.emplace_back(trimmed(line));
    while (!labels.empty() && labels.back().empty())
        labels.pop_back();
    if (labels.empty())
        throw Error("labels file \"" + path + "\" cannot be read or is empty; want a text with one label a line");
    return labels;
}

const std::vector<std::string> &coco_labels()
{
    static const std::vector<std::string> labels = {"person",        "bicycle",      "car",
                                                    "motorcycle",    "airplane",     "bus",
                                                    "train",         "truck",        "boat",
                                                    "traffic light", "fire hydrant", "stop sign",
                                                    "parking meter", "bench",        "bird",
                                                    "cat",           "dog",          "horse",
                                                    "sheep",         "cow",          "elephant",
                                                    "bear",          "zebra",        "giraffe",
                                                    "backpack",      "umbrella",     "handbag",
                                                    "tie",           "suitcase",     "frisbee",
                                                    "skis",          "snowboard",    "sports ball",
                                                    "kite",          "baseball bat", "baseball glove",
                                                    "skateboard",    "surfboard",    "tennis racket",
                                                    "bottle",        "wine glass",   "cup",
                                                    "fork",          "knife",        "spoon",
                                                    "bowl",          "banana",       "apple",
                                                    "sandwich",      "orange",       "broccoli",
                                                    "carrot",        "hot dog",      "pizza",
                                                    "donut",         "cake",         "chair",
                                                    "couch",         "potted plant", "bed",
                                                    "dining table",  "toilet",       "tv",
                                                    "laptop",        "mouse",        "remote",
                                                    "keyboard",      "cell phone",   "microwave",
                                                    "oven",          "toaster",      "sink",
                                                    "refrigerator",  "book",         "clock",
                                                    "vase",          "scissors",     "teddy bear",
                                                    "hair drier",    "toothbrush"};
    return labels;
}

std::vector<std::string> labels_for(int64_t classes)
{
    return classes == int64_t(coco_labels().size()) ? coco_labels() : std::vector<std::string>();
}

} // namespace leat
