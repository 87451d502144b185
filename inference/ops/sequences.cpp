#include "inference/ops/attributes.h"
#include "inference/ops/boxes.h"

#include <algorithm>

// Greedy decoding of connectionist temporal classification: Graves et al., "Connectionist Temporal Classification:
// Labelling Unsegmented Sequence Data with Recurrent Neural Networks", 2006

namespace leat {
namespace {

/// Of `steps` rows of scores, `stride` elements apart, the best class each, without blanks and, when `merge`, repeats.
void decode_greedily(const float *scores, int64_t steps, int64_t stride, int64_t classes, int64_t blank, bool merge,
                     std::vector<int64_t> &text)
{
    text.clear();
    int64_t previous = -1;
    for (int64_t step = 0; step < steps; step++, scores += stride) {
        const int64_t best = std::max_element(scores, scores + classes) - scores;
        if (best != blank && !(merge && best == previous))
            text.push_back(best);
        previous = best;
    }
}

// CTCGreedyDecoder: [time, batch, classes], the last class being the blank; a mask of 0 ends a sequence

Shape greedy_shape(const Shape &scores, const Shape &mask)
{
    want_shape(scores, 0, {-1, -1, -1}, "time, batch, classes");
    want_shape(mask, 1, {scores[0], scores[1]}, "time, batch");
    return {std::max(scores[1], mask[1]), std::max(scores[0], mask[0]), 1, 1};
}

void ctc_greedy_decoder_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    const Shape scores = context.shape(0).value_or(Shape{-1, -1, -1}), mask = context.shape(1).value_or(Shape{-1, -1});
    context.output(0, context.type(0), greedy_shape(scores, mask));
}

void ctc_greedy_decoder(RunContext &context)
{
    const Tensor scores = context.inputs[0].converted(Type::f32), mask = context.inputs[1].converted(Type::f32);
    Tensor result(Type::f32, greedy_shape(scores.shape(), mask.shape()));
    std::fill_n(result.data<float>(), result.count(), -1.f);
    const int64_t time = scores.dim(0), batch = scores.dim(1), classes = scores.dim(2);
    const bool merge = context.node.attributes.integer("ctc_merge_repeated", 1) != 0;
    check_rows(batch);
    std::vector<int64_t> text;
    for (int64_t n = 0; classes > 0 && n < batch; n++) {
        int64_t steps = 0;
        while (steps < time && mask.data<float>()[steps * batch + n] != 0)
            steps++;
        decode_greedily(scores.data<float>() + n * classes, steps, batch * classes, classes, classes - 1, merge, text);
        std::copy(text.begin(), text.end(), result.data<float>() + n * time);
    }
    copy_to_output(context, 0, result.converted(context.inputs[0].type()));
}

// CTCGreedyDecoderSeqLen: [batch, time, classes] and the length of each sequence

Type integer_type(const Attributes &attributes, const char *name)
{
    const Type type = type_attribute(attributes, name, Type::s32);
    if (type != Type::s32 && type != Type::s64)
        throw Error(std::string(name) + " is " + std::string(to_string(type)) + ", want s32 or s64");
    return type;
}

void check_sequences(const std::optional<Shape> &scores, const std::optional<Shape> &lengths)
{
    want_shape(scores, 0, {-1, -1, -1}, "batch, time, classes");
    want_shape(lengths, 1, {scores ? (*scores)[0] : -1}, "batch");
}

void ctc_greedy_decoder_seq_len_rule(ShapeContext &context)
{
    want_type(context, 0, TypeSet::floating);
    want_type(context, 1, TypeSet::integer);
    want_type(context, 2, TypeSet::integer);
    check_sequences(context.shape(0), context.shape(1));
    const Shape scores = context.shape(0).value_or(Shape{-1, -1, -1});
    context.output(0, integer_type(context.attributes(), "classes_index_type"), Shape{scores[0], scores[1]});
    context.output(1, integer_type(context.attributes(), "sequence_length_type"), Shape{scores[0]});
}

void ctc_greedy_decoder_seq_len(RunContext &context)
{
    const Attributes &attributes = context.node.attributes;
    const Tensor scores = context.inputs[0].converted(Type::f32);
    check_sequences(scores.shape(), context.inputs[1].shape());
    const auto lengths = integers(context, 1);
    const int64_t batch = scores.dim(0), time = scores.dim(1), classes = scores.dim(2);
    const auto blanks = context.has(2) ? integers(context, 2) : std::vector<int64_t>{classes - 1};
    if (blanks.size() != 1)
        throw Error("input 2 has " + std::to_string(blanks.size()) + " elements, want the one class that is blank");
    const bool merge = attributes.integer("merge_repeated", 1) != 0;
    Tensor classes_found(Type::s64, {batch, time}), counts(Type::s64, {batch});
    std::fill_n(classes_found.data<int64_t>(), classes_found.count(), -1);
    check_rows(batch);
    std::vector<int64_t> text;
    for (int64_t n = 0; n < batch; n++) {
        const int64_t length = lengths[static_cast<size_t>(n)];
        if (length < 0 || length > time)
            throw Error("the sequence length " + std::to_string(length) + " is not from 0 to " + std::to_string(time));
        decode_greedily(scores.data<float>() + n * time * classes, classes > 0 ? length : 0, classes, classes,
                        blanks[0], merge, text);
        std::copy(text.begin(), text.end(), classes_found.data<int64_t>() + n * time);
        counts.data<int64_t>()[n] = std::ssize(text);
    }
    copy_to_output(context, 0, classes_found.converted(integer_type(attributes, "classes_index_type")));
    if (context.wants(1))
        copy_to_output(context, 1, counts.converted(integer_type(attributes, "sequence_length_type")));
}

constexpr Op rows[] = {
    {"CTCGreedyDecoder", 2, 2, 1, ctc_greedy_decoder_rule, ctc_greedy_decoder},
    {"CTCGreedyDecoderSeqLen", 2, 3, 2, ctc_greedy_decoder_seq_len_rule, ctc_greedy_decoder_seq_len},
};

} // namespace

std::span<const Op> sequence_ops()
{
    return rows;
}

} // namespace leat
