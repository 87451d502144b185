#include "element_test.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <nlohmann/json.hpp>

namespace leat {
namespace {

/// A Kafka cluster of one broker inside this process, from librdkafka.
class MockCluster {
  public:
    MockCluster()
        : client_(rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), nullptr, 0)),
          cluster_(rd_kafka_mock_cluster_new(client_, 1))
    {
        rd_kafka_mock_topic_create(cluster_, "frames", 1, 1);
    }
    ~MockCluster()
    {
        rd_kafka_mock_cluster_destroy(cluster_);
        rd_kafka_destroy(client_);
    }
    MockCluster(const MockCluster &) = delete;
    MockCluster &operator=(const MockCluster &) = delete;
    std::string address() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }

  private:
    rd_kafka_t *client_;
    rd_kafka_mock_cluster_t *cluster_;
};

/// The messages of the topic's only partition, from the first on.
std::vector<std::string> consume(const std::string &address, size_t count)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (const auto &[key, value] : {std::pair("bootstrap.servers", address.c_str()), std::pair("group.id", "test")})
        rd_kafka_conf_set(conf, key, value, nullptr, 0);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(partitions, "frames", 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, partitions);
    rd_kafka_topic_partition_list_destroy(partitions);
    std::vector<std::string> messages;
    for (int tries = 0; messages.size() < count && tries < 200; tries++)
        if (rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100)) {
            if (!message->err)
                messages.emplace_back(static_cast<const char *>(message->payload), message->len);
            rd_kafka_message_destroy(message);
        }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return messages;
}

TEST(Publish, KafkaTakesEveryMessageInOrder)
{
    const MockCluster cluster;
    GstHarness *harness = gst_harness_new_parse(
        ("leatmetaconvert ! leatpublish method=kafka topic=frames address=" + cluster.address()).c_str());
    gst_harness_set_src_caps_str(harness, frame_caps);
    for (guint k = 0; k < 20; k++) {
        GstBuffer *frame = make_frame(k, 0);
        gst_buffer_add_video_region_of_interest_meta(frame, "cat", k, 0, 4, 4)->id = 1;
        gst_harness_push(harness, frame);
        gst_buffer_unref(gst_harness_pull(harness));
    }
    gst_harness_teardown(harness);
    const auto messages = consume(cluster.address(), 20);
    ASSERT_EQ(messages.size(), 20u);
    for (size_t k = 0; k < messages.size(); k++)
        EXPECT_EQ(nlohmann::json::parse(messages[k])["objects"][0]["x"], k);
}

TEST(Publish, KafkaThatIsNotThereIsAnError)
{
    const std::string error = error_when_starting(
        "leatpublish",
        {{"method", "kafka"}, {"topic", "frames"}, {"address", "127.0.0.1:9"}, {"connect-timeout", "1"}});
    EXPECT_EQ(error.find("Kafka at 127.0.0.1:9 cannot be reached"), 0u) << error;
}

TEST(Publish, ABrokerNeedsAddressAndTopic)
{
    EXPECT_EQ(error_when_starting("leatpublish", {{"method", "kafka"}}),
              "a broker needs the properties address and topic");
}

} // namespace
} // namespace leat
