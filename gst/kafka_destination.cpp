#include "gst/destination.h"

#include <librdkafka/rdkafka.h>

#include <array>

namespace leat {
namespace {

/// A Kafka cluster through librdkafka: idempotent, so messages arrive once and in order.
class KafkaDestination final : public Destination {
  public:
    explicit KafkaDestination(const PublishSettings &settings)
        : address_(settings.address), topic_(settings.topic), timeout_ms_(1000 * settings.connect_timeout_s)
    {
        std::array<char, 256> fault{};
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        for (const auto &[key, value] :
             {std::pair("bootstrap.servers", address_.c_str()), std::pair("enable.idempotence", "true")})
            if (rd_kafka_conf_set(conf, key, value, fault.data(), fault.size()) != RD_KAFKA_CONF_OK) {
                rd_kafka_conf_destroy(conf);
                refuse(fault.data());
            }
        rd_kafka_conf_set_opaque(conf, this);
        rd_kafka_conf_set_log_cb(conf, nullptr);
        rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t *, const rd_kafka_message_t *message, void *self) {
            if (message->err)
                static_cast<KafkaDestination *>(self)->fault_ = rd_kafka_err2str(message->err);
        });
        producer_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, fault.data(), fault.size());
        if (!producer_) {
            rd_kafka_conf_destroy(conf);
            refuse(fault.data());
        }
        const rd_kafka_metadata_t *metadata = nullptr;
        const rd_kafka_resp_err_t error = rd_kafka_metadata(producer_, 0, nullptr, &metadata, timeout_ms_);
        if (metadata)
            rd_kafka_metadata_destroy(metadata);
        if (error) {
            rd_kafka_destroy(producer_);
            refuse(rd_kafka_err2str(error));
        }
    }

    ~KafkaDestination() override
    {
        rd_kafka_purge(producer_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(producer_);
    }

    void send(const std::string &message) override
    {
        std::string line = on_one_line(message);
        const rd_kafka_resp_err_t error =
            rd_kafka_producev(producer_, RD_KAFKA_V_TOPIC(topic_.c_str()), RD_KAFKA_V_VALUE(line.data(), line.size()),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (error)
            throw Error("Kafka at " + address_ + " cannot take more messages: " + rd_kafka_err2str(error) +
                        "; is it still there?");
        rd_kafka_poll(producer_, 0);
        check();
    }

    void close() override
    {
        if (rd_kafka_flush(producer_, timeout_ms_) != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw Error("Kafka at " + address_ + " has not confirmed every message in time; is it still there?");
        check();
    }

  private:
    void check() const
    {
        if (!fault_.empty())
            throw Error("Kafka at " + address_ + " has not taken a message for the topic \"" + topic_ +
                        "\": " + fault_);
    }

    [[noreturn]] void refuse(const std::string &why) const
    {
        throw Error("Kafka at " + address_ + " cannot be reached: " + why +
                    "; check the property address, such as localhost:9092");
    }

    const std::string address_, topic_;
    const int timeout_ms_;
    rd_kafka_t *producer_ = nullptr;
    std::string fault_; ///< of a delivery; told by rd_kafka_poll() and rd_kafka_flush() on the caller's thread
};

} // namespace

std::unique_ptr<Destination> open_kafka(const PublishSettings &settings)
{
    return std::make_unique<KafkaDestination>(settings);
}

} // namespace leat
