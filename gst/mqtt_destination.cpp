#include "gst/destination.h"

#include <MQTTAsync.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace leat {
namespace {

/// Messages kept while the broker is away; more are an error, so that nothing is lost in silence.
constexpr int most_buffered = 10000;

/// An MQTT broker through Eclipse Paho: quality of service 1, reconnecting by itself, order kept.
class MqttDestination final : public Destination {
  public:
    explicit MqttDestination(const PublishSettings &settings)
        : address_(settings.address.find("://") == std::string::npos ? "tcp://" + settings.address : settings.address),
          topic_(settings.topic), timeout_(settings.connect_timeout_s)
    {
        MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
        options.sendWhileDisconnected = 1;
        options.maxBufferedMessages = most_buffered;
        const std::string id =
            "leat-" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count() % 1000000000);
        check(MQTTAsync_createWithOptions(&client_, address_.c_str(), id.c_str(), MQTTCLIENT_PERSISTENCE_NONE, nullptr,
                                          &options),
              "be addressed");
        try {
            connect();
        } catch (...) {
            MQTTAsync_destroy(&client_);
            throw;
        }
    }

    ~MqttDestination() override
    {
        MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
        options.timeout = 0;
        MQTTAsync_disconnect(client_, &options);
        MQTTAsync_destroy(&client_);
    }

    void send(const std::string &message) override
    {
        const std::string line = on_one_line(message);
        check(MQTTAsync_send(client_, topic_.c_str(), static_cast<int>(line.size()), line.data(), 1, 0, nullptr),
              "take more messages");
    }

    void close() override
    {
        MQTTAsync_token *pending = nullptr;
        if (MQTTAsync_getPendingTokens(client_, &pending) != MQTTASYNC_SUCCESS || !pending)
            return;
        const auto until = std::chrono::steady_clock::now() + timeout_;
        bool sent = true;
        for (MQTTAsync_token *token = pending; *token >= 0 && sent; token++) {
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            sent = MQTTAsync_waitForCompletion(client_, *token,
                                               static_cast<unsigned long>(std::max<int64_t>(left.count(), 1))) ==
                   MQTTASYNC_SUCCESS;
        }
        MQTTAsync_free(pending);
        if (!sent)
            throw Error("the MQTT broker " + address_ + " has not confirmed every message in time; is it still there?");
    }

  private:
    void connect()
    {
        MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
        options.automaticReconnect = 1;
        options.minRetryInterval = 1;
        options.maxRetryInterval = 30;
        options.cleansession = 1;
        options.context = this;
        options.onSuccess = [](void *self, MQTTAsync_successData *) {
            static_cast<MqttDestination *>(self)->answered("");
        };
        options.onFailure = [](void *self, MQTTAsync_failureData *failure) {
            static_cast<MqttDestination *>(self)->answered(failure && failure->message ? failure->message
                                                                                       : "no connection");
        };
        check(MQTTAsync_connect(client_, &options), "be reached");
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, timeout_, [&] { return answer_; }))
            refuse("no answer within " + std::to_string(timeout_.count()) + " s");
        if (!reason_.empty())
            refuse(reason_);
    }

    /// On a thread of Paho.
    void answered(const std::string &reason)
    {
        std::lock_guard lock(mutex_);
        answer_ = true;
        reason_ = reason;
        changed_.notify_all();
    }

    [[noreturn]] void refuse(const std::string &why) const
    {
        throw Error("the MQTT broker " + address_ + " cannot be reached: " + why +
                    "; check the property address, such as tcp://localhost:1883");
    }

    void check(int code, const char *what) const
    {
        if (code != MQTTASYNC_SUCCESS)
            throw Error("the MQTT broker " + address_ + " cannot " + what + ": " + MQTTAsync_strerror(code) +
                        "; check the properties address and topic");
    }

    const std::string address_, topic_;
    const std::chrono::seconds timeout_;
    MQTTAsync client_ = nullptr;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool answer_ = false;
    std::string reason_;
};

} // namespace

std::unique_ptr<Destination> open_mqtt(const PublishSettings &settings)
{
    return std::make_unique<MqttDestination>(settings);
}

} // namespace leat
