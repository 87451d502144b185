#include "gst/destination.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace leat {
namespace {

/// A file, or the standard output; flushed after each message, so that a reader sees whole messages.
class FileDestination final : public Destination {
  public:
    explicit FileDestination(const PublishSettings &settings)
        : name_(settings.file_path.empty() ? "the standard output" : "\"" + settings.file_path + "\""),
          format_(settings.file_format)
    {
        errno = 0;
        file_ = settings.file_path.empty() ? stdout : std::fopen(settings.file_path.c_str(), "w");
        if (!file_)
            fail("opened for writing");
        if (format_ == FileFormat::json)
            write("[");
    }

    ~FileDestination() override
    {
        if (file_ && file_ != stdout)
            std::fclose(file_);
    }

    void send(const std::string &message) override
    {
        const bool first = messages_++ == 0;
        write(format_ == FileFormat::json_lines ? on_one_line(message) + "\n" : (first ? "\n" : ",\n") + message);
    }

    void close() override
    {
        if (format_ == FileFormat::json)
            write(messages_ ? "\n]\n" : "]\n");
        if (file_ != stdout && std::fclose(std::exchange(file_, nullptr)) != 0)
            fail("written");
    }

  private:
    void write(const std::string &text)
    {
        if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0)
            fail("written");
    }

    [[noreturn]] void fail(const char *what) const
    {
        throw Error(name_ + " cannot be " + what + ": " + std::strerror(errno) + "; check the property file-path");
    }

    const std::string name_;
    const FileFormat format_;
    FILE *file_ = nullptr;
    uint64_t messages_ = 0;
};

} // namespace

std::unique_ptr<Destination> open_file(const PublishSettings &settings)
{
    return std::make_unique<FileDestination>(settings);
}

std::string on_one_line(const std::string &message)
{
    if (message.find('\n') == std::string::npos)
        return message;
    const auto json = nlohmann::ordered_json::parse(message, nullptr, false);
    return json.is_discarded() ? message : json.dump();
}

} // namespace leat
