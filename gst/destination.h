#pragma once
#include <leat/error.h>

#include <memory>
#include <string>

namespace leat {

enum class PublishMethod { file, mqtt, kafka };
enum class FileFormat { json, json_lines };

/// What a user sets on leatpublish.
struct PublishSettings {
    PublishMethod method = PublishMethod::file;
    std::string file_path;
    FileFormat file_format = FileFormat::json;
    std::string address, topic;
    int connect_timeout_s = 10;
};

/// Where leatpublish sends its messages: made when the element starts, closed when it stops.
class Destination {
  public:
    virtual ~Destination() = default;
    /// Hands the message over; brokers send it later, in order. Throws Error. Called on the streaming thread.
    virtual void send(const std::string &message) = 0;
    /// Waits until all is written or sent, within the connect timeout. Throws Error when something was not.
    virtual void close() = 0;
};

/// Throws Error that names the property and the cure. To add a destination: a method in PublishMethod, its function
/// here in a file of its own, its row in publish.cpp.
std::unique_ptr<Destination> open_file(const PublishSettings &);
#if LEAT_HAVE_MQTT
std::unique_ptr<Destination> open_mqtt(const PublishSettings &);
#endif
#if LEAT_HAVE_KAFKA
std::unique_ptr<Destination> open_kafka(const PublishSettings &);
#endif

/// The message on one line; indentation is only blanks, so reading and writing it again loses nothing.
std::string on_one_line(const std::string &message);

} // namespace leat
