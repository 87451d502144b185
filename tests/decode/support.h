#pragma once
#include "inference/decode/decoder.h"

#include <string>
#include <vector>

/// Facts of a model of which only ports, and the ops of its heads, are known.
inline leat::ModelFacts facts_from(leat::Shape input, std::vector<leat::Port> outputs,
                                   std::vector<std::vector<std::string>> head_ops = {})
{
    leat::ModelFacts facts{.inputs = {{"images", leat::Type::f32, std::move(input), true}},
                           .outputs = std::move(outputs)};
    for (const auto &head : head_ops)
        facts.ops.insert(facts.ops.end(), head.begin(), head.end());
    if (!head_ops.empty())
        facts.ops.insert(facts.ops.begin(), "Conv");
    facts.head_ops = std::move(head_ops);
    return facts;
}

inline leat::Port output(std::string name, leat::Shape shape)
{
    return {std::move(name), leat::Type::f32, std::move(shape), false};
}

/// What is thrown, or "" when nothing is.
template <class Body> std::string message_of(Body &&body)
{
    try {
        body();
    } catch (const leat::Error &error) {
        return error.what();
    }
    return {};
}

inline std::string chosen(const leat::ModelFacts &facts, leat::Task task = leat::Task::detect,
                          const std::string &name = {})
{
    return std::string(leat::choose_decoder(facts, task, name).decoder->name);
}

inline const leat::Decoder &row(std::string_view name)
{
    for (const leat::Decoder *decoder : leat::decoders())
        if (decoder->name == name)
            return *decoder;
    throw leat::Error("no decoder " + std::string(name));
}
